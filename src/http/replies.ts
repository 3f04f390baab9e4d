// Every answer of the route leaves here (test/contract.md, sections 3, 4 and 7), as a finished text: the host's serializers
// and preSerialization hooks never see it, and its error handler is never asked.

import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import * as errors from '../errors.js'
import type { ErrorReply } from '../rules/wire-schemas.js'
import type { UpdateResult } from '../rules/prepare-update.js'
import { sendUnguarded } from './reply-guard.js'

const headers = { 'content-type': 'application/json', 'cache-control': 'no-store', pragma: 'no-cache' }
const internalServerError: ErrorReply = { success: false, error: 'Internal server error' }
const asItIs = (text: unknown): string => text as string

const unauthorized = new errors.UnauthorizedError().message
const forbidden = new errors.ForbiddenError().message
const unreadable: Record<string, string> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'The content type is not supported: send application/json',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'The request body does not have the length that Content-Length names'
}

export function send (reply: FastifyReply, status: number, text: string): void {
  // With a serializer of the reply's own Fastify adds no charset to the content type.
  sendUnguarded(reply.headers(headers).serializer(asItIs), status, text)
}

/** The body of a 200. */
export function toAnswer (contactJson: string): string {
  return `{"contact":${contactJson},"success":true}`
}

/** The replies of updates that are done. */
const done = new WeakSet<FastifyReply>()

/** Sends the result of an update. */
export function sendResult (reply: FastifyReply, { answer, version, replayed }: UpdateResult): void {
  done.add(reply)
  void reply.header('etag', `"${version}"`)
  if (replayed) void reply.header('idempotency-replayed', 'true')
  send(reply, 200, answer)
}

/** Answers whatever was thrown on the way: by the plugin, by Fastify, or by a hook of the host. */
export function sendError (error: Partial<FastifyError>, request: FastifyRequest, reply: FastifyReply): void {
  // A hook of the host has failed at a 200: no refusal of its own is true.
  const { status, body } = toRefusal(done.has(reply) ? new UnforeseenError(error) : error, request, reply)
  void reply.removeHeader('etag').removeHeader('idempotency-replayed')
  if (status === 503 && !reply.hasHeader('retry-after')) void reply.header('retry-after', '1')
  if (error instanceof errors.ContactVersionMismatchError) void reply.header('etag', `"${error.version}"`)
  send(reply, status, JSON.stringify(body))
}

/**
 * Answers 500 without the host's hooks: one of them has failed at our answer, and would fail again. It stands behind `sendError` in
 * Fastify's chain of error handlers.
 */
export function sendWithoutHooks (error: unknown, request: FastifyRequest, { raw }: FastifyReply): void {
  request.log.error({ err: error }, 'an onSend hook failed')
  if (raw.headersSent) raw.destroy()
  else raw.writeHead(500, headers).end(JSON.stringify(internalServerError))
}

const ownErrors = [
  errors.UnauthorizedError, errors.ForbiddenError, errors.InvalidParamsError, errors.ContactNotFoundError,
  errors.ContactManagerNotFoundError, errors.InvalidCustomFieldError, errors.CustomFieldNotAllowedError, errors.InvalidOperationError,
  errors.ContactVersionMismatchError, errors.IdempotencyKeyReusedError, errors.UpdateRefusedError, errors.DatabaseBusyError,
  errors.InDoubtError, errors.RequestGoneError, errors.InvalidUserError, errors.AsyncBeforeCommitError
]

/** Whether an error is the plugin's own, whose status may be shown. A function of the host may throw anything, with any `statusCode`. */
export function isOwnError (error: unknown): boolean {
  return ownErrors.some((OwnError) => error instanceof OwnError)
}

/** Anything that is not the plugin's own error, thrown on the way of an update. Its status and code are not shown. */
export class UnforeseenError extends Error {
  readonly statusCode = 500

  constructor (cause: unknown) {
    super('The update failed', { cause })
  }
}

interface Refusal {
  status: number
  body: ErrorReply
}

function toRefusal (error: Partial<FastifyError>, request: FastifyRequest, reply: FastifyReply): Refusal {
  const { message = '' } = error
  // The code of a DOMException, which is what an aborted fetch throws, is a number.
  const code = typeof error.code === 'string' ? error.code : ''
  const status = error.statusCode ?? (reply.statusCode >= 400 ? reply.statusCode : 500)

  switch (status) {
    case 401: return { status, body: { success: false, error: unauthorized, status: 'error', message: unauthorized } }
    case 403: return { status, body: { success: false, error: `${forbidden} [error-unauthorized]` } }
    case 413: return invalidParams(status, `The request body is larger than ${request.routeOptions.bodyLimit} bytes`)
    case 429: return { status, body: { success: false, error: tooManyRequests(reply) } }
  }
  if (error instanceof errors.InvalidParamsError) return invalidParams(status, message)
  if (code.startsWith('FST_ERR_CTP_')) return invalidParams(400, unreadable[code] ?? 'The request body could not be read')
  if (error instanceof errors.DatabaseBusyError) request.log.warn({ err: error }, 'contacts.update gave up waiting for the database')
  if (isOwnError(error) && status !== 500) return { status, body: { success: false, error: message } }
  // A hook of the host refused, or its server is overloaded: its status stands, its words may hold anything.
  if ((status >= 400 && status < 500) || status === 503) {
    return { status, body: { success: false, error: STATUS_CODES[status] ?? 'Request refused' } }
  }
  request.log.error({ err: error instanceof UnforeseenError ? error.cause : error }, 'contacts.update failed')
  return { status: 500, body: internalServerError }
}

function invalidParams (status: number, reason: string): Refusal {
  return { status, body: { success: false, error: `${reason} [invalid-params]`, errorType: 'invalid-params' } }
}

function tooManyRequests (reply: FastifyReply): string {
  const named = Math.ceil(Number(reply.getHeader('retry-after')))
  // Retry-After may also be a date.
  const seconds = named > 0 ? named : 60
  return 'Error, too many requests. Please slow down. ' +
    `You must wait ${seconds} seconds before trying this endpoint again. [error-too-many-requests]`
}
