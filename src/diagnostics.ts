// Publishes updates and commits on channels of node:diagnostics_channel. A message has only numbers, and words from the lists below: it
// has no id, no name, no token and no text of an error.

import { channel, tracingChannel } from 'node:diagnostics_channel'
import type { Obstacle } from './errors.js'

/** `sqlite` stands for both libraries, better-sqlite3 and node:sqlite. */
export type Engine = 'sqlite' | 'postgres'

/**
 * How an update ended:
 *
 * | outcome | answer | |
 * |---|---|---|
 * | `committed` | 200 | the contact was changed |
 * | `unchanged` | 200 | the request asked for no change |
 * | `replayed` | 200 | the stored answer of an earlier request with the same `Idempotency-Key` |
 * | `refused` | 4xx | `code` says why |
 * | `busy` | 503 | `obstacle` says what was in the way |
 * | `failed` | 500 | an error of the database, or of `beforeCommit` |
 * | `in-doubt` | 500 | it is not known whether the update was committed; PostgreSQL only |
 * | `abandoned` | none | the client was gone, or something else had answered; nothing was written |
 */
export type UpdateOutcome = 'committed' | 'unchanged' | 'replayed' | 'refused' | 'busy' | 'failed' | 'in-doubt' | 'abandoned'

/**
 * The message of the tracing channel `fastify-omnichannel-contacts:update`. All events of an update get the same object. At `start` only
 * `engine` is set, at `asyncEnd` everything is. `error` is published for `busy`, `failed` and `in-doubt`.
 */
export interface UpdateMessage {
  readonly engine: Engine
  /** Milliseconds from `start` until the last attempt began, or until the update ended without one. */
  waitedMs: number
  /** How many transactions were begun for the update. */
  attempts: number
  /** How many updates the COMMIT has written. 0 if none was sent, or if it wrote nothing. */
  batchSize: number
  /** How many patterns of custom fields could not be checked. The log says why. */
  unansweredPatterns: number
  outcome: UpdateOutcome | undefined
  /** The plugin's code of a refusal or failure, such as `FOC_CONTACT_NOT_FOUND`, or the database's. */
  code: string | undefined
  obstacle: Obstacle | undefined
}

/** The message of the channel `fastify-omnichannel-contacts:commit`, for each successful COMMIT that has written updates. */
export interface CommitMessage {
  readonly engine: Engine
  /** Milliseconds of the COMMIT. On PostgreSQL they include the writes, which are sent in the same round trip. */
  readonly durationMs: number
  /** How many updates it has written. */
  readonly updates: number
}

/** @internal */
export const updateChannel = tracingChannel<unknown, UpdateMessage>('fastify-omnichannel-contacts:update')
const commitChannel = channel('fastify-omnichannel-contacts:commit')

const publishNothing = (): void => undefined

/** Must be called right before a COMMIT. Returns a function to call when it has succeeded. */
export function startCommitTimer (engine: Engine, updates: number): () => void {
  if (updates === 0 || !commitChannel.hasSubscribers) return publishNothing
  const begin = performance.now()
  return () => { commitChannel.publish({ engine, durationMs: performance.now() - begin, updates } satisfies CommitMessage) }
}
