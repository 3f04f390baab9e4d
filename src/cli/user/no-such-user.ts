import type { Kysely } from 'kysely'
import type { Tables } from '../../store/tables.js'
import { CommandError } from '../errors.js'

export function noSuchUser (id: string): CommandError {
  return new CommandError(`There is no user ${id}; see user list`)
}

/** @throws {CommandError} */
export async function requireUser (db: Kysely<Tables>, id: string): Promise<void> {
  const user = await db.selectFrom('omnichannel_user').select('id').where('id', '=', id).executeTakeFirst()
  if (user === undefined) throw noSuchUser(id)
}
