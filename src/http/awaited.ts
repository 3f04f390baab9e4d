// A request is answered once. Somebody else may have done it, such as Fastify's `handlerTimeout` or a time-out of the
// host's: then its update is not begun. And once its update is committed, nobody else may.

import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'

export interface Awaited {
  /** Whether the answer is still waited for, by a client that is still there. */
  isAwaited: () => boolean
  /** From now on what others send, or the status that they set, is ignored. */
  seal: () => void
}

/** Watches what others send; the plugin's own answers pass it by (see {@link sendPast}). */
export function watchReply (request: FastifyRequest, reply: FastifyReply): Awaited {
  // `sent` says so only once the hooks of the host, which may take their time, have let the answer through.
  let isAnswered = false
  let isSealed = false
  reply.send = (payload) => {
    if (isSealed) return reply
    isAnswered = true
    return methodsOf(reply).send.call(reply, payload)
  }
  return {
    isAwaited: () => !(isAnswered || reply.sent || isOutOfTime(request) || reply.raw.destroyed),
    seal: () => {
      isSealed = true
      reply.code = reply.status = () => reply
    }
  }
}

/** Sends with the reply's own methods, whoever watches it. */
export function sendPast (reply: FastifyReply, status: number, text: string): void {
  const { code, send } = methodsOf(reply)
  code.call(reply, status)
  send.call(reply, text)
}

type Methods = Record<'code' | 'send', (this: FastifyReply, argument: unknown) => FastifyReply>

function methodsOf (reply: FastifyReply): Methods {
  return Object.getPrototypeOf(reply) as Methods
}

function isOutOfTime (request: FastifyRequest): boolean {
  // The signal costs something once it is asked for, and is also aborted, for no reason, when a body has been read.
  return request.routeOptions.handlerTimeout > 0 && (request.signal.reason as Partial<FastifyError> | undefined)?.code === 'FST_ERR_HANDLER_TIMEOUT'
}
