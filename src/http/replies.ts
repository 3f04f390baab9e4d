// All answers of the route (docs/contract.md, sections 3, 4 and 7). The host's preSerialization hooks get a copy, for example to
// validate it. The text to send is made before these hooks run, so neither a hook nor a serializer of the host can change it.

import { STATUS_CODES, type OutgoingHttpHeaders } from 'node:http'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import * as errors from '../errors.js'
import type { ErrorReply } from '../rules/wire-schemas.js'
import type { UpdateResult } from '../rules/prepare-update.js'
import { isReadError } from './body.js'
import { sendUnguarded } from './reply-guard.js'

const headers = { 'content-type': 'application/json', 'cache-control': 'no-store', pragma: 'no-cache' }
const internalServerError: ErrorReply = { success: false, error: 'Internal server error' }

const unauthorized = new errors.UnauthorizedError().message
const forbidden = new errors.ForbiddenError().message
const unreadable = 'The request body could not be read'
const bodyErrors: Record<string, string> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'The content type is not supported: send application/json',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'The request body does not have the length that Content-Length names'
}

interface Answer {
  status: number
  text: string
  /** Whether the host's preSerialization hooks still run. They may throw. */
  isInPreSerialization: boolean
}

/** The last answer to a request. */
const kAnswer = Symbol('fastify-omnichannel-contacts.answer')
type Answered = FastifyReply & { [kAnswer]?: Answer }

/** @param copy what the host's preSerialization hooks get */
function send (reply: FastifyReply, status: number, text: string, copy: object): void {
  const answer: Answer = { status, text, isInPreSerialization: true }
  ;(reply as Answered)[kAnswer] = answer
  // If a reply has a serializer, Fastify adds no charset to the content type.
  sendUnguarded(reply.headers(headers).serializer(() => {
    answer.isInPreSerialization = false
    return text
  }), status, copy)
}

export function sendResult (reply: FastifyReply, { answer, version, replayed }: UpdateResult): void {
  void reply.header('etag', `"${version}"`)
  if (replayed) void reply.header('idempotency-replayed', 'true')
  let contact: unknown
  send(reply, 200, answer, {
    // Parsed only for a hook that reads it.
    get contact () { return contact ??= (JSON.parse(answer) as { contact: unknown }).contact },
    set contact (value) { contact = value },
    success: true
  })
}

/** Answers an error of the plugin, of Fastify, or of a host's hook. */
export function sendError (error: Partial<FastifyError>, request: FastifyRequest, reply: FastifyReply): void {
  const answer = (reply as Answered)[kAnswer]
  if (answer?.isInPreSerialization === true) {
    // The answer is known, so send it without the hook.
    logFailedHook(error, request, 'a preSerialization hook failed')
    return sendUnguarded(reply.headers(headers), answer.status, answer.text)
  }
  // A hook that fails after the update must not choose the status, for example 404: the update was made.
  const failure = answer?.status === 200 ? new UnforeseenError(error) : error
  const { status, body } = toRefusal(failure, request, reply)
  void reply.removeHeader('etag').removeHeader('idempotency-replayed')
  if (status === 503 && !reply.hasHeader('retry-after')) void reply.header('retry-after', '1')
  if (failure instanceof errors.ContactVersionMismatchError) void reply.header('etag', `"${failure.version}"`)
  send(reply, status, JSON.stringify(body), { ...body })
}

/** Answers without the host's hooks. Fastify calls this if a hook fails while `sendError` sends: the hook would fail again. */
export function sendWithoutHooks (error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const { raw } = reply
  const answer = (reply as Answered)[kAnswer]
  const isInPreSerialization = answer?.isInPreSerialization === true
  logFailedHook(error, request, isInPreSerialization ? 'a preSerialization hook failed' : 'an onSend hook failed')
  if (raw.headersSent) raw.destroy()
  else if (isInPreSerialization) raw.writeHead(answer.status, { ...reply.getHeaders() as OutgoingHttpHeaders, ...headers }).end(answer.text)
  else raw.writeHead(500, headers).end(JSON.stringify(internalServerError))
}

function logFailedHook (error: unknown, request: FastifyRequest, message: string): void {
  logFailure(request, () => ({ err: error, code: codeOf(error) }), message)
}

/** Logs a failure. If the logger fails too, for example on a getter that throws, the request must still be answered. */
export function logFailure ({ log }: Pick<FastifyRequest, 'log'>, details: () => object, message: string, level: 'info' | 'warn' | 'error' = 'error'): void {
  try {
    log[level](details(), message)
  } catch {
    try {
      log[level](message)
    } catch {
      // The logger fails even without the details.
    }
  }
}

const ownErrors = Object.values(errors)

/** Whether the plugin made the error, so that its status may be answered. Errors of the host can have any `statusCode`. */
export function isOwnError (error: unknown): boolean {
  return ownErrors.some((OwnError) => error instanceof OwnError)
}

/** Wraps any other error of an update, so that the answer has the status 500 and not that error's own. */
export class UnforeseenError extends Error {
  readonly statusCode = 500

  constructor (cause: unknown) {
    super('The update failed', { cause })
  }
}

/** The code in the log if neither the error nor one of its causes has one. */
export const UPDATE_FAILED = 'FOC_UPDATE_FAILED'
/** How many causes are searched for a code. There is a limit, because an error of the host can be its own cause. */
const maxCauses = 8

function codeOf (error: unknown, causesLeft = maxCauses): string {
  const { code, cause } = Object(error) as { code?: unknown, cause?: unknown }
  if (typeof code === 'string') return code
  return causesLeft > 0 ? codeOf(cause, causesLeft - 1) : UPDATE_FAILED
}

interface Refusal {
  status: number
  body: ErrorReply
}

/** The status of an error. A hook of the host may have set it on the reply. */
export function statusOf ({ statusCode }: Partial<FastifyError>, reply: FastifyReply): number {
  // Code of the host may set it to a text.
  return Number(statusCode as unknown ?? (reply.statusCode >= 400 ? reply.statusCode : 500))
}

function toRefusal (error: Partial<FastifyError>, request: FastifyRequest, reply: FastifyReply): Refusal {
  if (isReadError(error)) return invalidParams(400, unreadable)
  const { message = '' } = error
  // The code of a DOMException, such as that of an aborted fetch, is a number.
  const code = typeof error.code === 'string' ? error.code : ''
  const status = statusOf(error, reply)

  switch (status) {
    case 401: return { status, body: { success: false, error: unauthorized, status: 'error', message: unauthorized } }
    case 403: return { status, body: { success: false, error: `${forbidden} [error-unauthorized]` } }
    case 413: return invalidParams(status, `The request body is larger than ${request.routeOptions.bodyLimit} bytes`)
    case 429: return { status, body: { success: false, error: tooManyRequests(reply) } }
  }
  if (error instanceof errors.InvalidParamsError) return invalidParams(status, message)
  if (code.startsWith('FST_ERR_CTP_')) return invalidParams(400, bodyErrors[code] ?? unreadable)
  if (error instanceof errors.DatabaseBusyError) {
    const { obstacle } = error
    logFailure(request, () => ({ err: error, code, obstacle }), 'contacts.update gave up waiting for the database', 'warn')
  }
  if (isOwnError(error) && status >= 400 && status !== 500) return { status, body: { success: false, error: message } }
  // A hook of the host has refused. Its message may hold internals.
  if ((status >= 400 && status < 500) || status === 503) {
    if (status === 503) logFailure(request, () => ({ err: error, code: codeOf(error) }), 'a hook has refused contacts.update with 503', 'warn')
    return { status, body: { success: false, error: STATUS_CODES[status] ?? 'Request refused' } }
  }
  const cause = error instanceof UnforeseenError ? error.cause : error
  logFailure(request, () => ({ err: cause, code: codeOf(cause) }), 'contacts.update failed')
  return { status: 500, body: internalServerError }
}

function invalidParams (status: number, reason: string): Refusal {
  return { status, body: { success: false, error: `${reason} [invalid-params]`, errorType: 'invalid-params' } }
}

function tooManyRequests (reply: FastifyReply): string {
  // Retry-After may also be a date, or absent.
  const retryAfter = Math.ceil(Number(reply.getHeader('retry-after')))
  const seconds = retryAfter > 0 ? retryAfter : 60
  return 'Error, too many requests. Please slow down. ' +
    `You must wait ${seconds} seconds before trying this endpoint again. [error-too-many-requests]`
}
