import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { RequestGoneError } from '../errors.js'
import type { Settings } from '../options.js'
import { fingerprintOf } from '../rules/idempotency.js'
import { whatBecameOf } from '../rules/in-doubt.js'
import { createPatterns, type PatternProblem } from '../rules/patterns.js'
import type { UpdateContactBody } from '../rules/schemas.js'
import { unitOfWork, type Work } from '../rules/unit-of-work.js'
import type { Store } from '../store/store.js'
import { watchReply } from './awaited.js'
import { validateBody } from './body.js'
import { callBeforeCommit, callOnContactUpdated } from './events.js'
import { admit, userOf } from './identity.js'
import { bodyByContentType } from './openapi-body.js'
import { describeOperation } from './openapi.js'
import { readIdempotencyKey, readIfMatch } from './preconditions.js'
import { sendDone, sendError, toAnswer } from './replies.js'

/** The route, with its own validator, serializer and error handler instead of the host's. */
export function addRoute (app: FastifyInstance, store: Store, settings: Settings): void {
  const beginPatterns = createPatterns()
  const schema = describeOperation(app.prefix + settings.prefix, settings.authenticate === undefined)

  app.route<{ Body: UpdateContactBody }>({
    method: 'POST',
    url: `${settings.prefix}/omnichannel/contacts.update`,
    bodyLimit: settings.bodyLimit,
    schema,
    validatorCompiler: ({ httpPart }) => httpPart === 'body' ? validateBody : () => true,
    serializerCompiler: () => JSON.stringify,
    errorHandler: sendError,
    handler: async (request, reply) => {
      const problems = new Map<string, PatternProblem>()
      const { isAwaited, seal } = watchReply(request, reply)
      const ifMatch = readIfMatch(request)
      const key = readIdempotencyKey(request)
      const work: Work = {
        body: request.body,
        // A new budget also where the update has to be run again.
        beginPatterns: () => beginPatterns(({ id }, problem) => { problems.set(id, problem) }),
        ifMatch,
        idempotencyKey: key === undefined ? undefined : {
          userId: userOf(request).id, key, fingerprint: fingerprintOf(request.body, ifMatch), window: settings.idempotencyWindow
        },
        isAwaited,
        admit: () => admit(request, settings),
        toAnswer,
        beforeCommit: callBeforeCommit(settings, request)
      }
      try {
        const done = await store.update(() => unitOfWork(work), settings.lockTimeout, (done) => whatBecameOf(work, done))
        seal()
        sendDone(reply, done)
        if (done.change !== undefined) callOnContactUpdated(settings, request, done.change)
      } catch (error) {
        if (!(error instanceof RequestGoneError)) throw error
        request.log.info('contacts.update was not begun: the request has been answered, or its client is gone')
      } finally {
        // After the answer: a log may be written with the same handle.
        if (problems.size > 0) process.nextTick(logPatterns, request.log, problems)
      }
      return reply
    }
  })
  // Once Fastify has made its validator, of the one schema that judges every body.
  app.addHook('onReady', (done) => {
    schema.body = bodyByContentType
    done()
  })
}

/** So that an administrator learns of it: to the caller the value is just not valid. */
function logPatterns (log: FastifyBaseLogger, problems: Map<string, PatternProblem>): void {
  for (const [customField, problem] of problems) log.error({ customField }, `the pattern of a custom field ${problem}`)
}
