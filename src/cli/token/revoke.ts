import type { Command } from 'commander'
import type { Kysely } from 'kysely'
import type { Tables } from '../../store/tables.js'
import type { Io } from '../command.js'
import { CommandError } from '../errors.js'
import { databaseOption, withDatabase } from '../open-database.js'
import { requireUser } from '../user/no-such-user.js'
import { shownOfHash } from './list.js'

export function revokeToken (parent: Command, io: Io): void {
  parent.command('revoke')
    .description('Revoke a token of a user, by its name or the start of its hash')
    .argument('<USER>', 'the id of the user')
    .argument('<NAME|HASH>', 'as token list shows them')
    .addOption(databaseOption())
    .action((userId: string, wanted: string, { database }: { database: string }) => withDatabase(database, io, async (db) => {
      await requireUser(db, userId)
      const hash = await findToken(db, userId, wanted)
      await db.deleteFrom('omnichannel_auth_token').where('hashed_token', '=', hash).execute()
      io.stdout.write(`Revoked token ${hash.slice(0, shownOfHash)} of user ${userId}\n`)
    }))
}

/** Six letters of a hash at least, so that no token goes by accident. */
const leastOfHash = 6

async function findToken (db: Kysely<Tables>, userId: string, wanted: string): Promise<string> {
  const tokens = await db
    .selectFrom('omnichannel_auth_token').select(['hashed_token', 'name'])
    .where('user_id', '=', userId).execute()
  const [token, ...others] = tokens.filter(({ hashed_token: hash, name }) =>
    wanted !== '' && (name === wanted || (wanted.length >= leastOfHash && hash.startsWith(wanted))))
  if (token === undefined) throw new CommandError(`User ${userId} has no token ${wanted}; see token list ${userId}`)
  if (others.length > 0) {
    throw new CommandError(`User ${userId} has ${others.length + 1} tokens ${wanted}: name one by its hash, see token list ${userId}`)
  }
  return token.hashed_token
}
