// Everything that is particular to this endpoint: its method, path, schema and operation.

import type { FastifyInstance, FastifyRequest } from 'fastify'
import { randomFillSync } from 'node:crypto'
import { updateChannel } from '../diagnostics.js'
import { RequestGoneError } from '../errors.js'
import type { Settings } from '../options.js'
import { fingerprintOf } from '../rules/idempotency.js'
import { createPatternCache, type PatternProblem, type ReportProblem } from '../rules/patterns/index.js'
import { prepareUpdate, type UpdateContext } from '../rules/prepare-update.js'
import type { UpdateContactBody } from '../rules/wire-schemas.js'
import type { Store } from '../store/store.js'
import { createAccess, userOf, type Access } from './auth.js'
import { prepareBody, validateBody, watchBody } from './body.js'
import { bindBeforeCommit, callOnContactUpdated } from './events.js'
import { describeOperation } from './openapi.js'
import { readIdempotencyKey, readIfMatch } from './preconditions.js'
import { isOwnError, logFailure, sendError, sendResult, statusOf, UnforeseenError } from './replies.js'
import { addReplyGuard, guardReply } from './reply-guard.js'
import { traceUpdate } from './trace-update.js'

type UpdateRequest = FastifyRequest<{ Body: UpdateContactBody }>

/** Adds the route. The hooks, validator, serializer and error handler are its own, not the host's. */
export function addRoute (app: FastifyInstance, store: Store, settings: Settings): void {
  const access = createAccess(store, settings)
  const { createMatcher } = createPatternCache()
  let hasOurValidator = false

  app.route<{ Body: UpdateContactBody }>({
    method: 'POST',
    url: `${settings.prefix}/omnichannel/contacts.update`,
    bodyLimit: settings.bodyLimit,
    schema: describeOperation(app.prefix + settings.prefix, settings.authenticate === undefined),
    onRequest: addReplyGuard,
    preParsing: [watchBody, access.check, prepareBody],
    validatorCompiler: ({ httpPart }) => {
      if (httpPart !== 'body') return () => true
      hasOurValidator = true
      return validateBody
    },
    serializerCompiler: () => JSON.stringify,
    errorHandler: (error, request, reply) => {
      if (!access.mustConfirm(request) || statusOf(error, reply) >= 500) return sendError(error, request, reply)
      // Only this handler may answer while the rights are read.
      const guard = guardReply(reply)
      guard.lock()
      return access.confirm(request).then((missingRights) => {
        guard.unlock()
        sendError(missingRights ?? error, request, reply)
        return reply
      })
    },
    handler: async (request, reply) => {
      // An onRoute hook of the host's may have set `attachValidation`, removed the schema or replaced the validator.
      const invalid = hasOurValidator ? request.validationError : validateBody(request.body).error
      if (invalid !== undefined) throw invalid
      const patternProblems = new Map<string, PatternProblem>()
      const reportProblem: ReportProblem = ({ id }, problem) => { patternProblems.set(id, problem) }
      const context = contextOf(request, settings, access, (reservedMs) => createMatcher(reportProblem, reservedMs))
      const guard = guardReply(reply)
      guard.otherCodeRuns = store.engine === 'postgres'
      try {
        const prepare = () => prepareUpdate(context)
        const result = await (updateChannel.hasSubscribers
          ? traceUpdate(store, prepare, guard, settings.lockTimeout, patternProblems)
          : store.update(prepare, guard, settings.lockTimeout))
        // If nothing was written, the store has not locked the reply.
        guard.lock()
        try {
          sendResult(reply, result)
        } finally {
          if (result.change !== undefined) callOnContactUpdated(settings, request, result.change)
        }
      } catch (error) {
        guard.unlock()
        if (!(error instanceof RequestGoneError)) throw isOwnError(error) ? error : new UnforeseenError(error)
        logFailure(request, () => ({}), 'contacts.update was not made: the request has been answered, or its client is gone', 'info')
      } finally {
        // After the answer, because the host may write its log to the same database.
        if (patternProblems.size > 0) process.nextTick(logProblems, request, patternProblems)
      }
      return reply
    }
  })
}

function contextOf (
  request: UpdateRequest, settings: Settings, access: Access, createMatcher: UpdateContext['createMatcher']
): UpdateContext {
  const ifMatch = readIfMatch(request)
  const key = readIdempotencyKey(request)
  const { id: userId } = userOf(request)
  return {
    updateId: createUpdateId(),
    body: request.body,
    createMatcher,
    ifMatch,
    idempotencyKey: key === undefined ? undefined : {
      userId, key, fingerprint: fingerprintOf(request.body, ifMatch), windowMs: settings.idempotencyWindow
    },
    // Last, because the errors above still need `access.confirm`.
    access: access.recheck(request),
    beforeCommit: bindBeforeCommit(settings, request)
  }
}

// Filled for 256 updates at once, because each call of randomFillSync takes a microsecond.
const randomBytes = Buffer.alloc(4096)
let usedBytes = randomBytes.length

/** 16 random bytes in lower-case hex. */
function createUpdateId (): string {
  if (usedBytes === randomBytes.length) {
    randomFillSync(randomBytes)
    usedBytes = 0
  }
  usedBytes += 16
  return randomBytes.toString('hex', usedBytes - 16, usedBytes)
}

/** Logs why patterns failed. The answer only says that the value is not valid. */
function logProblems (request: UpdateRequest, patternProblems: Map<string, PatternProblem>): void {
  for (const [customField, problem] of patternProblems) logFailure(request, () => ({ customField }), `the pattern of a custom field ${problem}`)
}
