import type Database from 'better-sqlite3'
import type { Command, Given } from './command.js'
import { CommandError } from './errors.js'
import { databaseOption, openDatabase, withDatabase } from './open-database.js'
import { writeTable } from './write-table.js'

export const addUser: Command = {
  name: 'user add',
  summary: 'Add a user, or give one more roles or another name',
  operands: ['ID'],
  details: 'Contacts may be updated by admin, livechat-manager, livechat-monitor and livechat-agent, unless that was changed.\n' +
    'Only a livechat-agent can be the manager of a contact.',
  options: {
    database: databaseOption,
    role: { value: 'ROLE', multiple: true, help: 'a role of the user, such as livechat-agent' },
    name: { value: 'NAME', help: 'the name in full' },
    username: { value: 'NAME', help: 'the name for mentions (of a new user: the ID)' }
  },
  run: async (given, io) => {
    const [id = ''] = given.operands
    if (id === '') throw new CommandError('A user needs an id that is not empty')
    const database = await openDatabase(given.text('database') as string, io)
    try {
      const isNew = database.transaction(() => putUser(database, id, given)).immediate()
      io.stdout.write(`${isNew ? 'Added' : 'Updated'} user ${id}\n`)
    } finally {
      database.close()
    }
  }
}

function putUser (database: Database.Database, id: string, given: Given): boolean {
  const { changes } = database.prepare('INSERT INTO omnichannel_user (id, username) VALUES (?, ?) ON CONFLICT DO NOTHING').run(id, id)
  database
    .prepare('UPDATE omnichannel_user SET username = coalesce(?, username), name = coalesce(?, name) WHERE id = ?')
    .run(given.text('username'), given.text('name'), id)
  const addRole = database.prepare('INSERT INTO omnichannel_user_role (user_id, role) VALUES (?, ?) ON CONFLICT DO NOTHING')
  for (const role of given.texts('role')) addRole.run(id, role)
  return changes === 1
}

export const listUsers: Command = {
  name: 'user list',
  summary: 'List the users and their roles',
  options: { database: databaseOption },
  run: (given, io) => withDatabase(given, io, (database) => {
    writeTable(io.stdout, ['ID', 'USERNAME', 'NAME', 'ACTIVE', 'ROLES'], database.prepare<[], string[]>(`
      SELECT id, username, name, iif(active, 'yes', 'no'),
        coalesce((SELECT group_concat(role, ', ' ORDER BY role) FROM omnichannel_user_role WHERE user_id = id), '')
      FROM omnichannel_user ORDER BY id`).raw().all())
  })
}

export const deactivateUser = changeUser('user deactivate', 'Refuse a user whatever token it holds', 'Deactivated',
  'UPDATE omnichannel_user SET active = 0 WHERE id = ?')

export const activateUser = changeUser('user activate', 'Let a deactivated user in again', 'Activated',
  'UPDATE omnichannel_user SET active = 1 WHERE id = ?')

export const removeUser = changeUser('user remove', 'Remove a user with its roles and tokens', 'Removed',
  'DELETE FROM omnichannel_user WHERE id = ?',
  'DELETE FROM omnichannel_user_role WHERE user_id = ?',
  'DELETE FROM omnichannel_auth_token WHERE user_id = ?')

function changeUser (name: string, summary: string, done: string, ...statements: string[]): Command {
  return {
    name,
    summary,
    operands: ['ID'],
    options: { database: databaseOption },
    run: (given, io) => withDatabase(given, io, (database) => {
      const [id = ''] = given.operands
      requireUser(database, id)
      database.transaction(() => {
        for (const sql of statements) database.prepare(sql).run(id)
      }).immediate()
      io.stdout.write(`${done} user ${id}\n`)
    })
  }
}

/** @throws {CommandError} */
export function requireUser (database: Database.Database, id: string): void {
  const user = database.prepare('SELECT 1 FROM omnichannel_user WHERE id = ?').get(id)
  if (user === undefined) throw new CommandError(`There is no user ${id}`)
}
