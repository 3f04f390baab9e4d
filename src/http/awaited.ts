import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'

/**
 * Tells whether a request still waits for the handler's answer. Somebody else may have given one, such as Fastify's
 * `handlerTimeout` or a time-out of the host's, and a client may have gone away.
 */
export function watchReply (request: FastifyRequest, reply: FastifyReply): () => boolean {
  // `sent` says so only once the hooks of the host, which may take their time, have let the answer through.
  let answered = false
  const send = reply.send.bind(reply)
  reply.send = (payload) => {
    answered = true
    return send(payload)
  }
  return () => !(answered || reply.sent || isOutOfTime(request) || reply.raw.destroyed)
}

function isOutOfTime (request: FastifyRequest): boolean {
  // The signal costs something once it is asked for, and is also aborted, for no reason, when a body has been read.
  return request.routeOptions.handlerTimeout > 0 && (request.signal.reason as Partial<FastifyError> | undefined)?.code === 'FST_ERR_HANDLER_TIMEOUT'
}
