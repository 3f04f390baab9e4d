import { InvalidArgumentError, type Command } from '@commander-js/extra-typings'
import type { Kysely } from 'kysely'
import leven from 'leven'
import type { Tables } from '../store/tables.js'
import { accessFor, createOption, databaseOption, withDatabase } from './database.js'
import { CommandError } from './errors.js'
import { print, printTable, report } from './output.js'
import type { Io } from './shared.js'

const activations = [
  { name: 'deactivate', description: 'Refuse all calls of a user, and keep its tokens', active: 0, pastTense: 'Deactivated' },
  { name: 'activate', description: 'Accept calls of a deactivated user again', active: 1, pastTense: 'Activated' }
]

export function user (program: Command, io: Io): void {
  const group = program.command('user').description('Add, list, deactivate, activate or remove users')

  group.command('add')
    .summary('Add a user, or add roles to a user, or change a name')
    .description('Add a user. For a user who exists, add roles or change the name.\n\n' +
      'The roles admin, livechat-manager, livechat-monitor and livechat-agent may update contacts, unless that was changed. ' +
      'Only a livechat-agent can be the manager of a contact.')
    .argument('<ID>', 'what calls send as X-User-Id', readId)
    .addOption(databaseOption())
    .addOption(createOption())
    .option('--role <ROLE>', 'a role of the user, such as livechat-agent; may be given several times', (role, before?: string[]) => [...before ?? [], role])
    .option('--name <NAME>', 'the full name')
    .option('--username <NAME>', 'the name for mentions; the ID by default')
    .action((id, options) => withDatabase(options.database, io, accessFor(options), async ({ db }) => {
      const { role: roles = [], ...names } = options
      const isNew = await db.transaction().execute(async (transaction) => {
        const isNew = await putUser(transaction, id, roles, names)
        await warnAboutRoles(transaction, id, roles, io)
        return isNew
      })
      print(io, `${isNew ? 'Added' : 'Updated'} user ${id}\n`)
    }))

  group.command('list')
    .description('List the users and their roles')
    .addOption(databaseOption())
    .action(({ database }) => withDatabase(database, io, 'read', async ({ db }) => {
      const users = await db.selectFrom('omnichannel_user').selectAll().orderBy('id').execute()
      const rolesOfUsers = new Map<string, string[]>(users.map(({ id }) => [id, []]))
      for (const { user_id: id, role } of await db.selectFrom('omnichannel_user_role').selectAll().orderBy('role').execute()) {
        rolesOfUsers.get(id)?.push(role)
      }
      printTable(io, ['ID', 'USERNAME', 'NAME', 'ACTIVE', 'ROLES'], users.map(({ id, username, name, active }) => [
        id, username, name, active === 1 ? 'yes' : 'no', (rolesOfUsers.get(id) as string[]).join(', ')
      ]))
    }))

  for (const { name, description, active, pastTense } of activations) {
    group.command(name)
      .description(description)
      .argument('<ID>')
      .addOption(databaseOption())
      .action((id, { database }) => withDatabase(database, io, 'change', async ({ db }) => {
        await requireUser(db, id)
        await db.updateTable('omnichannel_user').set({ active }).where('id', '=', id).execute()
        print(io, `${pastTense} user ${id}\n`)
      }))
  }

  group.command('remove')
    .description('Remove a user with its roles and tokens')
    .argument('<ID>')
    .addOption(databaseOption())
    .action((id, { database }) => withDatabase(database, io, 'change', async ({ db }) => {
      await requireUser(db, id)
      await db.transaction().execute(async (transaction) => {
        await transaction.deleteFrom('omnichannel_user').where('id', '=', id).execute()
        await transaction.deleteFrom('omnichannel_user_role').where('user_id', '=', id).execute()
        await transaction.deleteFrom('omnichannel_auth_token').where('user_id', '=', id).execute()
      })
      print(io, `Removed user ${id}\n`)
    }))
}

function readId (id: string): string {
  if (fitsHeader(id)) return id
  throw new InvalidArgumentError('It must have only ASCII letters, digits and signs, and no blank at its beginning or end, because calls send it in a header')
}

/** Whether a header can carry an id. Other characters arrive in another encoding or not at all, so calls would be answered with 401. */
export function fitsHeader (id: string): boolean {
  return /^[!-~]([ -~]*[!-~])?$/.test(id)
}

/** Adds or changes a user. Returns whether the user is new. Begins with an INSERT: upgrading a read transaction can fail with SQLITE_BUSY. */
async function putUser (db: Kysely<Tables>, id: string, roles: string[], { name, username }: { name?: string, username?: string }): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await db
    .insertInto('omnichannel_user')
    .values({ id, username: username ?? id, name: name ?? '', active: 1 })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirstOrThrow()
  const isNew = numInsertedOrUpdatedRows === 1n
  if (!isNew && (name ?? username) !== undefined) {
    // Kysely does not set columns that are undefined.
    await db.updateTable('omnichannel_user').set({ name, username }).where('id', '=', id).execute()
  }
  for (const role of roles) {
    await db.insertInto('omnichannel_user_role').values({ user_id: id, role }).onConflict((conflict) => conflict.doNothing()).execute()
  }
  return isNew
}

export async function requireUser (db: Kysely<Tables>, id: string): Promise<void> {
  const user = await db.selectFrom('omnichannel_user').select('id').where('id', '=', id).executeTakeFirst()
  if (user === undefined) throw new CommandError(`There is no user ${id}; see user list`)
}

/** Warns if a user may not update contacts, and if an added role has no permission. */
export async function warnAboutRoles (db: Kysely<Tables>, userId: string, addedRoles: string[], io: Io): Promise<void> {
  const { UPDATE_PERMISSION } = await import('../store/queries.js')
  const roles = await db.selectFrom('omnichannel_user_role').select('role').where('user_id', '=', userId).orderBy('role').execute()
  const grants = await db.selectFrom('omnichannel_role_permission').select(['role', 'permission']).orderBy('role').execute()
  const updatingRoles = grants.filter(({ permission }) => permission === UPDATE_PERMISSION).map(({ role }) => role)

  for (const role of addedRoles) {
    if (grants.some((grant) => grant.role === role)) continue
    const similar = grants.find((grant) => leven(grant.role, role.toLowerCase()) <= 2)
    report(io, `Warning: no permission names the role ${role}${similar === undefined ? '' : `, did you mean ${similar.role}?`}`)
  }
  if (roles.some(({ role }) => updatingRoles.includes(role))) return
  const problem = roles.length === 0 ? 'has no role' : `has no role that may update contacts (only ${roles.map(({ role }) => role).join(', ')})`
  const advice = updatingRoles.length === 0
    ? `no role has the permission ${UPDATE_PERMISSION}`
    : `user add ${userId} --role ROLE helps, with one of ${updatingRoles.join(', ')}`
  report(io, `Warning: user ${userId} ${problem}, so its calls will be answered with 403; ${advice}`)
}
