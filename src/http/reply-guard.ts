// A request is answered once. If something else has answered, such as Fastify's `handlerTimeout` or a timeout of the host's, its
// update is not begun, or rolled back. Once COMMIT is sent, only the update may answer.

import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import type { Reply } from '../store/store.js'

/** Watches what others send with the reply. The plugin's own answers bypass it: see {@link sendUnguarded}. */
export function guardReply (request: FastifyRequest, reply: FastifyReply): Reply {
  const original = Object.getPrototypeOf(reply) as ReplyMethods
  // `reply.sent` is true only once the host's onSend hooks, which may take their time, are done.
  let isAnswered = false
  let isLocked = false

  reply.send = (payload) => {
    if (isLocked) return reply
    isAnswered = true
    return original.send.call(reply, payload)
  }
  reply.hijack = () => isLocked ? reply : original.hijack.call(reply)
  const setStatus = (status: number): FastifyReply => isLocked ? reply : original.code.call(reply, status)
  reply.code = reply.status = setStatus

  return {
    isPending: () => !(isAnswered || reply.sent || reply.raw.headersSent || isOutOfTime(request) || isGone(reply)),
    lock: () => {
      isLocked = true
      // Fastify's `handlerTimeout` would make an error of whatever is sent afterwards.
      Object.defineProperty(reply, 'sent', { value: true, configurable: true })
    },
    unlock: () => {
      isLocked = false
      Reflect.deleteProperty(reply, 'sent')
    }
  }
}

/** Sends with the reply's own methods, although it is guarded. */
export function sendUnguarded (reply: FastifyReply, status: number, text: string): void {
  const { code, send } = Object.getPrototypeOf(reply) as ReplyMethods
  Reflect.deleteProperty(reply, 'sent')
  code.call(reply, status)
  send.call(reply, text)
}

interface ReplyMethods {
  code: (this: FastifyReply, status: number) => FastifyReply
  send: (this: FastifyReply, payload: unknown) => FastifyReply
  hijack: (this: FastifyReply) => FastifyReply
}

function isOutOfTime (request: FastifyRequest): boolean {
  // Reading the signal makes Fastify create it, and it is also aborted when a body has been read.
  return request.routeOptions.handlerTimeout > 0 && (request.signal.reason as Partial<FastifyError> | undefined)?.code === 'FST_ERR_HANDLER_TIMEOUT'
}

/** Over HTTP/2 only the stream tells, and for a request that was sent behind another one only the socket. */
function isGone ({ raw, request }: FastifyReply): boolean {
  return raw.destroyed || ((raw as { stream?: { destroyed: boolean } }).stream ?? request.raw.socket).destroyed
}
