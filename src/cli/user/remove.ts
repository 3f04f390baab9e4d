import type { Command } from 'commander'
import type { Io } from '../command.js'
import { databaseOption, withDatabase } from '../open-database.js'
import { noSuchUser } from './no-such-user.js'

export function removeUser (parent: Command, io: Io): void {
  parent.command('remove')
    .description('Remove a user with its roles and tokens')
    .argument('<ID>')
    .addOption(databaseOption())
    .action((id: string, { database }: { database: string }) => withDatabase(database, io, async (db) => {
      await db.transaction().execute(async (transaction) => {
        const { numDeletedRows } = await transaction.deleteFrom('omnichannel_user').where('id', '=', id).executeTakeFirstOrThrow()
        if (numDeletedRows === 0n) throw noSuchUser(id)
        await transaction.deleteFrom('omnichannel_user_role').where('user_id', '=', id).execute()
        await transaction.deleteFrom('omnichannel_auth_token').where('user_id', '=', id).execute()
      })
      io.stdout.write(`Removed user ${id}\n`)
    }))
}
