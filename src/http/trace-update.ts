import type { FastifyError } from 'fastify'
import { updateChannel, type UpdateMessage, type UpdateOutcome } from '../diagnostics.js'
import { DatabaseBusyError, InDoubtError, RequestGoneError, UpdateRefusedError } from '../errors.js'
import type { UpdateResult } from '../rules/prepare-update.js'
import type { Update } from '../store/operation.js'
import type { ReplyGuard, Store } from '../store/store.js'
import { isOwnError, UPDATE_FAILED } from './replies.js'

const { start, end, asyncStart, asyncEnd, error: errorChannel } = updateChannel
const { code: UPDATE_REFUSED } = new UpdateRefusedError('')

/** Runs an update and publishes its message. `tracePromise` would also publish the result and the error, which have data of the contact. */
export async function traceUpdate (
  store: Store, prepare: () => Update<UpdateResult>, guard: ReplyGuard, timeoutMs: number, patternProblems: ReadonlyMap<string, unknown>
): Promise<UpdateResult> {
  const message: UpdateMessage = {
    engine: store.engine, waitedMs: 0, attempts: 0, batchSize: 0, unansweredPatterns: 0, outcome: undefined, code: undefined, obstacle: undefined
  }
  const begin = performance.now()
  const beginAttempt = (): Update<UpdateResult> => {
    message.attempts++
    message.waitedMs = performance.now() - begin
    return prepare()
  }
  const lock = (batchSize: number): void => {
    message.batchSize = batchSize
    guard.lock(batchSize)
  }
  const unlock = (): void => {
    message.batchSize = 0
    guard.unlock()
  }
  try {
    const running = start.runStores(message, () => store.update(beginAttempt, { isPending: () => guard.isPending(), lock, unlock }, timeoutMs))
    end.publish(message)
    const result = await running
    message.outcome = result.replayed ? 'replayed' : result.change === undefined ? 'unchanged' : 'committed'
    return result
  } catch (error) {
    message.outcome = outcomeOf(error)
    message.code = codeOf(error, message.outcome)
    if (error instanceof DatabaseBusyError) message.obstacle = error.obstacle
    if (message.outcome !== 'refused' && message.outcome !== 'abandoned') errorChannel.publish(message)
    throw error
  } finally {
    if (message.attempts === 0) message.waitedMs = performance.now() - begin
    message.unansweredPatterns = patternProblems.size
    asyncStart.publish(message)
    asyncEnd.publish(message)
  }
}

function outcomeOf (error: unknown): UpdateOutcome {
  if (error instanceof RequestGoneError) return 'abandoned'
  if (error instanceof DatabaseBusyError) return 'busy'
  if (error instanceof InDoubtError) return 'in-doubt'
  return isOwnError(error) && (error as FastifyError).statusCode !== 500 ? 'refused' : 'failed'
}

/** Codes of the plugin, of SQLite, of PostgreSQL and of Node.js. No other code is published, because it may be any text. */
const knownCode = /^((FOC|SQLITE|ERR)_[A-Z_]+|[0-9A-Z]{5}|E[A-Z]+)$/

function codeOf (error: unknown, outcome: UpdateOutcome): string {
  const { code } = Object(error) as { code?: unknown }
  if (typeof code === 'string' && knownCode.test(code)) return code
  return outcome === 'refused' ? UPDATE_REFUSED : UPDATE_FAILED
}
