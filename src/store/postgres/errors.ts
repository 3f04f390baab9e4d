// What errors of the database mean. Their texts may be in any language, so only codes are compared (PostgreSQL manual, appendix A).

import type { Obstacle } from '../../errors.js'
import type { PostgresError } from './handle.js'

// 40001, 40P01: serialization failure, deadlock. 25006: the server is read-only. 25P03, 25P04, 55P03, 57014: a timeout. 26000: a prepared
// statement is gone. 53300: too many connections. 57P0.: the server stops or starts. 08...: the connection has failed.
const transientCode = /^(40001|40P01|25006|25P0[34]|26000|53300|55P03|57014|57P0.|08...)$/
/**
 * Node's codes for errors of the network. ENOENT: the socket file does not exist. EAGAIN: too many clients wait at the socket file.
 * EADDRNOTAVAIL, EMFILE, ENFILE: there are no more ports or file descriptors.
 */
const networkCode = /^E(CONN.*|HOST.*|NET.*|PIPE|NOTFOUND|AI_AGAIN|TIMEDOUT|NOENT|AGAIN|ADDRNOTAVAIL|MFILE|NFILE)$/
/** Errors of node-postgres that have no code. */
const lostMessage = /^(Connection terminated|Client (has encountered a connection error|was closed)|timeout e|Query read timeout)/

/** The pool has given a client that cannot be used. The attempt is repeated with another client. */
export class UnusableClientError extends Error {
  readonly code = '08000'
}

/** "cached plan must not change result type": a column got another type after the statement was prepared. */
function isPlanStale (error: unknown): boolean {
  return codeOf(error) === '0A000' && membersOf(error).routine === 'RevalidateCachedQuery'
}

/**
 * 42804 or 42883: a parameter of a prepared statement does not have the type of its column or operator. If the column got another type,
 * preparing the statement again helps.
 */
export function isTypeStale (error: unknown): boolean {
  return /^(42804|42883)$/.test(codeOf(error))
}

/**
 * Whether the client must not go back to the pool. 25006: the host has made the session read-only, or the server is a standby now. 26000:
 * the prepared statements are lost. 57P: the server ends the connection. 22P02: a check of what was written has failed (statements.ts). The
 * cause may be a rule DO INSTEAD NOTHING, which a prepared statement applies even after the rule was dropped.
 */
export function isClientUnusable (error: unknown): boolean {
  return error instanceof UnusableClientError || isPlanStale(error) || /^(25006|26000|22P02|57P..)$/.test(codeOf(error)) || isConnectionLost(error)
}

/** Whether the same transaction may succeed later. */
export function isTransient (error: unknown): boolean {
  const code = codeOf(error)
  if (code === '') return isConnectionLost(error)
  // Another transaction used the same idempotency key meanwhile: `putResponse` in queries.ts.
  const { table, column } = membersOf(error)
  const isKeyTaken = code === '23502' && table === 'omnichannel_idempotency_key' && column === 'version'
  return transientCode.test(code) || networkCode.test(code) || isPlanStale(error) || isKeyTaken
}

/** Which obstacle a transient error stands for. */
export function obstacleOf (error: unknown): Obstacle {
  const code = codeOf(error)
  if (error instanceof UnusableClientError || code === '26000') return 'host-client'
  if (code === '25006') return 'read-only-server'
  if (code === '53300') return 'full-server'
  if (networkCode.test(code) || /^(08|57P)/.test(code)) return 'server-away'
  // "timeout exceeded when trying to connect" is the pool's error for requests that wait in its queue.
  if (code === '') return membersOf(error).message.startsWith('timeout e') ? 'full-pool' : 'server-away'
  return 'other-transaction'
}

/** An earlier statement of the transaction has failed, and the host has ignored its error or not awaited it. */
export function isTransactionAborted (error: unknown): boolean {
  return codeOf(error) === '25P02'
}

/** No such savepoint, or no transaction at all. */
export function isSavepointGone (error: unknown): boolean {
  return /^(3B001|25P01)$/.test(codeOf(error))
}

/**
 * Whether a COMMIT with this error may have succeeded. That is so if the connection was lost, which has no SQLSTATE, or if the server was
 * shut down or could not write its log. After any other SQLSTATE the transaction is rolled back.
 */
export function isCommitAmbiguous (error: unknown): boolean {
  return !hasSqlState(error) || /^(57P|08|53|58|XX)/.test(codeOf(error))
}

/** Whether the server sent the error. Five capitals or digits are a SQLSTATE, but codes of Node, such as EPIPE, begin with an E. */
export function hasSqlState (error: unknown): boolean {
  return /^(?!E)[0-9A-Z]{5}$/.test(codeOf(error))
}

/** The SQLSTATE, or Node's code for an error of the network. Empty if there is none. */
function codeOf (error: unknown): string {
  const { code } = membersOf(error)
  return typeof code === 'string' ? code : ''
}

/** node-postgres has lost the connection, perhaps while a statement was running. */
function isConnectionLost (error: unknown): boolean {
  return lostMessage.test(membersOf(error).message)
}

/** A function of the host may throw anything, also an object that throws when it is read. */
function membersOf (error: unknown): PostgresError & { message: string } {
  try {
    const { code, message, table, column, routine } = Object(error) as PostgresError
    return { code, message: String(message), table, column, routine }
  } catch {
    return { message: '' }
  }
}
