import type { Command } from 'commander'
import type { Io } from '../command.js'
import { databaseOption, withDatabase } from '../open-database.js'
import { writeTable } from '../write-table.js'

export function listUsers (parent: Command, io: Io): void {
  parent.command('list')
    .description('List the users and their roles')
    .addOption(databaseOption())
    .action(({ database }: { database: string }) => withDatabase(database, io, async (db) => {
      const users = await db.selectFrom('omnichannel_user').selectAll().orderBy('id').execute()
      const held = await db.selectFrom('omnichannel_user_role').selectAll().orderBy('role').execute()
      const roles = new Map<string, string[]>()
      for (const { user_id: id, role } of held) roles.set(id, [...roles.get(id) ?? [], role])
      writeTable(io.stdout, ['ID', 'USERNAME', 'NAME', 'ACTIVE', 'ROLES'], users.map(({ id, username, name, active }) => [
        id, username, name, active === 1 ? 'yes' : 'no', (roles.get(id) ?? []).join(', ')
      ]))
    }))
}
