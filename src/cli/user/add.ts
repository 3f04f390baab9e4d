import type { Command } from 'commander'
import type { Kysely } from 'kysely'
import type { Tables } from '../../store/tables.js'
import { collect, type Io } from '../command.js'
import { CommandError } from '../errors.js'
import { databaseOption, withNewDatabase } from '../open-database.js'
import { warnAboutRoles } from './warn-about-roles.js'

interface Options {
  database: string
  role?: string[]
  name?: string
  username?: string
}

export function addUser (parent: Command, io: Io): void {
  parent.command('add')
    .summary('Add a user, or give one more roles or another name')
    .description('Add a user, or give one more roles or another name.\n\n' +
      'Contacts may be updated by admin, livechat-manager, livechat-monitor and livechat-agent, unless that was changed. ' +
      'Only a livechat-agent can be the manager of a contact.')
    .argument('<ID>', 'what calls send as X-User-Id')
    .addOption(databaseOption())
    .option('--role <ROLE>', 'a role of the user, such as livechat-agent; may be given several times', collect)
    .option('--name <NAME>', 'the name in full')
    .option('--username <NAME>', 'the name for mentions (of a new user: the ID)')
    .action(async (id: string, options: Options) => {
      if (id === '') throw new CommandError('A user needs an id that is not empty')
      await withNewDatabase(options.database, io, async (db) => {
        const isNew = await db.transaction().execute((transaction) => putUser(transaction, id, options))
        io.stdout.write(`${isNew ? 'Added' : 'Updated'} user ${id}\n`)
        await warnAboutRoles(db, id, options.role ?? [], io)
      })
    })
}

/** Writes first: a transaction that has read may find that it can write no more. */
async function putUser (db: Kysely<Tables>, id: string, { role: roles = [], name, username }: Options): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await db
    .insertInto('omnichannel_user')
    .values({ id, username: username ?? id, name: name ?? '', active: 1 })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirstOrThrow()
  const isNew = numInsertedOrUpdatedRows === 1n
  const changed = { ...name !== undefined && { name }, ...username !== undefined && { username } }
  if (!isNew && Object.keys(changed).length > 0) {
    await db.updateTable('omnichannel_user').set(changed).where('id', '=', id).execute()
  }
  for (const role of roles) {
    await db
      .insertInto('omnichannel_user_role')
      .values({ user_id: id, role })
      .onConflict((conflict) => conflict.doNothing())
      .execute()
  }
  return isNew
}
