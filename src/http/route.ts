// All that is particular to this endpoint: its method, path, permission, schema and operation.

import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from 'fastify'
import { randomFillSync } from 'node:crypto'
import { RequestGoneError } from '../errors.js'
import type { Settings } from '../options.js'
import { fingerprintOf } from '../rules/idempotency.js'
import { createPatterns, type PatternProblem } from '../rules/patterns/index.js'
import type { UpdateContactBody } from '../rules/wire-schemas.js'
import { prepareUpdate, type UpdateContext } from '../rules/prepare-update.js'
import type { Store } from '../store/store.js'
import { authenticateHook, authorizeHook, recheckAccess, userOf } from './auth.js'
import { addEmptyBody, refuseContentEncoding, validateBody } from './body.js'
import { callBeforeCommit, callOnContactUpdated } from './events.js'
import { describeOperation } from './openapi.js'
import { readIdempotencyKey, readIfMatch } from './preconditions.js'
import { isOwnError, sendError, sendResult, toAnswer, UnforeseenError } from './replies.js'
import { guardReply } from './reply-guard.js'

/** The route, with its own hooks, validator, serializer and error handler instead of the host's. */
export function addRoute (app: FastifyInstance, store: Store, settings: Settings): void {
  const beginPatterns = createPatterns()

  app.route<{ Body: UpdateContactBody }>({
    method: 'POST',
    url: `${settings.prefix}/omnichannel/contacts.update`,
    bodyLimit: settings.bodyLimit,
    schema: describeOperation(app.prefix + settings.prefix, settings.authenticate === undefined),
    preParsing: [authenticateHook(store, settings), authorizeHook(store, settings), refuseContentEncoding],
    preValidation: addEmptyBody,
    validatorCompiler: ({ httpPart }) => httpPart === 'body' ? validateBody : () => true,
    serializerCompiler: () => JSON.stringify,
    errorHandler: sendError,
    handler: async (request, reply) => {
      const problems = new Map<string, PatternProblem>()
      // A new budget for each attempt.
      const context = contextOf(request, settings, () => beginPatterns(({ id }, problem) => { problems.set(id, problem) }))
      const guard = guardReply(request, reply)
      try {
        const result = await store.update(() => prepareUpdate(context), guard, settings.lockTimeout)
        try {
          sendResult(reply, result)
        } finally {
          if (result.change !== undefined) callOnContactUpdated(settings, request, result.change)
        }
      } catch (error) {
        guard.unlock()
        if (!(error instanceof RequestGoneError)) throw isOwnError(error) ? error : new UnforeseenError(error)
        request.log.info('contacts.update was not made: the request has been answered, or its client is gone')
      } finally {
        // After the answer: a log may be written with the same handle.
        if (problems.size > 0) process.nextTick(logPatterns, request.log, problems)
      }
      return reply
    }
  })
}

function contextOf (request: FastifyRequest<{ Body: UpdateContactBody }>, settings: Settings, beginPatterns: UpdateContext['beginPatterns']): UpdateContext {
  const ifMatch = readIfMatch(request)
  const key = readIdempotencyKey(request)
  return {
    updateId: createUpdateId(),
    body: request.body,
    beginPatterns,
    ifMatch,
    idempotencyKey: key === undefined ? undefined : {
      userId: userOf(request).id, key, fingerprint: fingerprintOf(request.body, ifMatch), windowMs: settings.idempotencyWindow
    },
    recheckAccess: () => recheckAccess(request, settings),
    toAnswer,
    beforeCommit: callBeforeCommit(settings, request)
  }
}

/** Random bytes are drawn for many ids at once, which takes a tenth of the time. */
const randomPool = Buffer.alloc(16 * 256)
let drawn = randomPool.length

/** @internal */
export function createUpdateId (): string {
  if (drawn === randomPool.length) {
    randomFillSync(randomPool)
    drawn = 0
  }
  return randomPool.toString('hex', drawn, drawn += 16)
}

/** So that an administrator learns of it: to the caller the value is just not valid. */
function logPatterns (log: FastifyBaseLogger, problems: Map<string, PatternProblem>): void {
  for (const [customField, problem] of problems) log.error({ customField }, `the pattern of a custom field ${problem}`)
}
