import type Database from 'better-sqlite3'
import { randomBytes } from 'node:crypto'
import { hashToken } from '../http/identity.js'
import type { Command } from './command.js'
import { CommandError, UsageError } from './errors.js'
import { databaseOption, withDatabase } from './open-database.js'
import { requireUser } from './user.js'
import { writeTable } from './write-table.js'

export const createToken: Command = {
  name: 'token create',
  summary: 'Make a token for a user and print it, this once',
  operands: ['USER'],
  details: 'The token alone goes to stdout. Only its hash is stored, so it cannot be shown again.',
  options: {
    database: databaseOption,
    name: { value: 'NAME', help: 'what to call it in token list and token revoke' },
    expires: { value: 'WHEN', help: 'a number of days from now, or a time such as 2027-01-31T12:00:00Z (otherwise never)' }
  },
  run: (given, io) => withDatabase(given, io, (database) => {
    const [userId = ''] = given.operands
    const expiresAt = toExpiry(given.text('expires'))
    requireUser(database, userId)
    io.stdout.write(`${issueToken(database, userId, given.text('name') ?? '', expiresAt)}\n`)
    io.stderr.write(`A call sends it as X-Auth-Token, with X-User-Id: ${userId}\n`)
  })
}

/** Stores the hash of a new token, and returns the token. */
export function issueToken (database: Database.Database, userId: string, name: string, expiresAt: string | null): string {
  const token = randomBytes(32).toString('base64url')
  database
    .prepare('INSERT INTO omnichannel_auth_token (hashed_token, user_id, name, expires_at) VALUES (?, ?, ?, ?)')
    .run(hashToken(token), userId, name, expiresAt)
  return token
}

function toExpiry (when: string | undefined): string | null {
  if (when === undefined) return null
  const time = /^\d+(\.\d+)?$/.test(when) ? new Date(Date.now() + Number(when) * 86_400_000) : new Date(when)
  if (!(time.getTime() > Date.now() && time.getUTCFullYear() <= 9999)) {
    throw new UsageError(`--expires must be a number of days or a time to come, and is '${when}'`)
  }
  return time.toISOString()
}

export const listTokens: Command = {
  name: 'token list',
  summary: 'List the tokens, of one user or of all',
  operands: ['[USER]'],
  options: { database: databaseOption },
  run: (given, io) => withDatabase(given, io, (database) => {
    writeTable(io.stdout, ['USER', 'NAME', 'HASH', 'CREATED', 'EXPIRES'], database.prepare<[string | null], string[]>(`
      SELECT user_id, name, substr(hashed_token, 1, 12), created_at, coalesce(expires_at, 'never')
      FROM omnichannel_auth_token WHERE user_id = coalesce(?, user_id)
      ORDER BY user_id, created_at, name`).raw().all(given.operands[0] ?? null))
  })
}

export const revokeToken: Command = {
  name: 'token revoke',
  summary: 'Revoke a token of a user, by its name or the start of its hash',
  operands: ['USER', 'NAME|HASH'],
  options: { database: databaseOption },
  run: (given, io) => withDatabase(given, io, (database) => {
    const [userId = '', wanted = ''] = given.operands
    requireUser(database, userId)
    const hash = findToken(database, userId, wanted)
    database.prepare('DELETE FROM omnichannel_auth_token WHERE hashed_token = ?').run(hash)
    io.stdout.write(`Revoked token ${hash.slice(0, 12)} of user ${userId}\n`)
  })
}

function findToken (database: Database.Database, userId: string, wanted: string): string {
  const hashes = database.prepare<[object], string>(`
    SELECT hashed_token FROM omnichannel_auth_token
    WHERE user_id = :userId AND :wanted <> '' AND (name = :wanted OR substr(hashed_token, 1, max(6, length(:wanted))) = :wanted)`)
    .pluck().all({ userId, wanted })
  const [hash] = hashes
  if (hash === undefined) throw new CommandError(`User ${userId} has no token ${wanted}; see token list ${userId}`)
  if (hashes.length > 1) throw new CommandError(`User ${userId} has ${hashes.length} tokens ${wanted}: name one by its hash, see token list ${userId}`)
  return hash
}
