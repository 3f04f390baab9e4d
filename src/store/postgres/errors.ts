// What the database's refusals mean. Texts may be in any language: only codes count (PostgreSQL manual, appendix A).

/** Serialization failure, deadlock, the loss of a server or of its leave to write: the same transaction may succeed later. */
const passing = /^(40001|40P01|25006|25P0[34]|26000|53300|57P0.|08...)$/
/** Of the network, by Node; ENOENT is a socket that is not there. */
const unreachable = /^(ECONN.*|EPIPE|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EHOSTDOWN|ENOENT)$/
/** A statement that waited for longer than it may. */
const waitedTooLong = /^(57014|55P03)$/
/** node-postgres gives these no code. */
const lostWords = /^(Connection terminated|Client (has encountered a connection error|was closed)|timeout e|Query read timeout)/

/**
 * Whether a connection is of no more use: node-postgres has given it up, with something that may still be under way, or
 * somebody has taken away the statements that it believes to be prepared.
 */
export function isLost (error: unknown): boolean {
  const { code, message } = Object(error) as { code?: unknown, message?: unknown }
  return code === '26000' || lostWords.test(String(message))
}

export function isPassing (error: unknown): boolean {
  const { code, table, cause } = Object(error) as { code?: unknown, table?: unknown, cause?: unknown }
  if (typeof code !== 'string') return isLost(error) || (cause !== undefined && isPassing(cause))
  // Somebody else has used the same idempotency key meanwhile: queries.ts, putAnswer.
  return passing.test(code) || unreachable.test(code) || (code === '23502' && table === 'omnichannel_idempotency_key')
}

export function isTimeout (error: unknown): boolean {
  return waitedTooLong.test(String((Object(error) as { code?: unknown }).code))
}

/** Whether an answer to COMMIT leaves open what became of it: a lost connection, but not a refusal of the server's. */
export function leavesOpen (error: unknown): boolean {
  const { code } = Object(error) as { code?: unknown }
  return typeof code !== 'string' || !/^(?!E)[0-9A-Z]{5}$/.test(code) || /^(57P|08)/.test(code)
}
