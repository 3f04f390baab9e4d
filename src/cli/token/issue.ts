import type { Kysely } from 'kysely'
import { randomBytes } from 'node:crypto'
import type { Tables } from '../../store/tables.js'

/** Stores the hash of a new token, and returns the token. */
export async function issueToken (db: Kysely<Tables>, userId: string, name: string, expiresAt: string | null): Promise<string> {
  const { hashToken } = await import('../../http/auth.js')
  const token = randomBytes(32).toString('base64url')
  await db
    .insertInto('omnichannel_auth_token')
    .values({ hashed_token: hashToken(token), user_id: userId, name, created_at: new Date().toISOString(), expires_at: expiresAt })
    .execute()
  return token
}
