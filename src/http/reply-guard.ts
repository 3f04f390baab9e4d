// A request is answered once. If something else has answered, such as Fastify's handlerTimeout or a hook of the host's, the update is
// not begun, or rolled back. Once COMMIT is sent, only the update may answer.

import type { FastifyError, FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify'
import type { Reply } from '../store/store.js'

type ReplyMethods = Pick<FastifyReply, 'code' | 'send' | 'hijack'>

const kGuard = Symbol('fastify-omnichannel-contacts.guard')
type Guarded = FastifyRequest & { [kGuard]: Reply }

export function guardOf (request: FastifyRequest, reply: FastifyReply): Reply {
  // An onRoute hook of the host's may have replaced our onRequest hook.
  return (request as Partial<Guarded>)[kGuard] ?? guardReply(request, reply)
}

/** In onRequest, because a later hook of the host's may answer and still let the request go on to the handler. */
export const addReplyGuard: onRequestHookHandler = (request, reply, done) => {
  ;(request as Guarded)[kGuard] = guardReply(request, reply)
  done()
}

/** Wraps a reply's methods, to notice when other code answers, and to ignore it after `lock`. {@link sendUnguarded} bypasses them. */
function guardReply (request: FastifyRequest, reply: FastifyReply): Reply {
  const original = Object.getPrototypeOf(reply) as ReplyMethods
  // `reply.sent` is set later, when the host's onSend hooks are done.
  let isAnswered = false
  let isLocked = false

  reply.send = (payload) => {
    if (isLocked) return reply
    isAnswered = true
    return original.send.call(reply, payload)
  }
  reply.hijack = () => isLocked ? reply : original.hijack.call(reply)
  reply.code = reply.status = (status: number): FastifyReply => isLocked ? reply : original.code.call(reply, status)

  return {
    isPending: () => !(isAnswered || reply.sent || reply.raw.headersSent || isTimedOut(request) || isClientGone(reply)),
    lock: () => {
      isLocked = true
      // Otherwise handlerTimeout would turn our answer into an error.
      Object.defineProperty(reply, 'sent', { value: true, configurable: true })
    },
    unlock: () => {
      isLocked = false
      Reflect.deleteProperty(reply, 'sent')
    }
  }
}

/** Sends with the original methods of a reply. */
export function sendUnguarded (reply: FastifyReply, status: number, payload: unknown): void {
  const { code, send } = Object.getPrototypeOf(reply) as ReplyMethods
  Reflect.deleteProperty(reply, 'sent')
  code.call(reply, status)
  send.call(reply, payload)
}

function isTimedOut (request: FastifyRequest): boolean {
  // The first check saves the cost of `signal`, which is created when it is read. It is aborted for other reasons too.
  return request.routeOptions.handlerTimeout > 0 && (request.signal.reason as Partial<FastifyError> | undefined)?.code === 'FST_ERR_HANDLER_TIMEOUT'
}

/** With HTTP/2 each request has a stream. With HTTP/1 the socket is checked, because a pipelined request does not notice that it closed. */
function isClientGone ({ raw, request }: FastifyReply): boolean {
  return raw.destroyed || ((raw as { stream?: { destroyed: boolean } }).stream ?? request.raw.socket).destroyed
}
