import type { Command } from 'commander'
import type { Io } from '../command.js'
import { databaseOption, withDatabase } from '../open-database.js'
import { writeTable } from '../write-table.js'

/** How much of a hash is shown, and names a token. */
export const shownOfHash = 12

export function listTokens (parent: Command, io: Io): void {
  parent.command('list')
    .description('List the tokens, of one user or of all')
    .argument('[USER]', 'the id of the user')
    .addOption(databaseOption())
    .action((userId: string | undefined, { database }: { database: string }) => withDatabase(database, io, async (db) => {
      const tokens = await db
        .selectFrom('omnichannel_auth_token')
        .selectAll()
        .$if(userId !== undefined, (query) => query.where('user_id', '=', userId as string))
        .orderBy('user_id').orderBy('created_at').orderBy('name')
        .execute()
      writeTable(io.stdout, ['USER', 'NAME', 'HASH', 'CREATED', 'EXPIRES'], tokens.map((token) => [
        token.user_id, token.name, token.hashed_token.slice(0, shownOfHash), token.created_at, token.expires_at ?? 'never'
      ]))
    }))
}
