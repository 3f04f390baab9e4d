import type { Command } from 'commander'
import type { Io } from '../command.js'
import { databaseOption, withDatabase } from '../open-database.js'
import { noSuchUser } from './no-such-user.js'

export function activateUser (parent: Command, io: Io): void {
  addCommand(parent, io, { name: 'activate', description: 'Let a deactivated user in again', active: 1, done: 'Activated' })
}

export function deactivateUser (parent: Command, io: Io): void {
  addCommand(parent, io, { name: 'deactivate', description: 'Refuse a user whatever token it holds', active: 0, done: 'Deactivated' })
}

interface Change {
  name: string
  description: string
  active: 0 | 1
  done: string
}

function addCommand (parent: Command, io: Io, { name, description, active, done }: Change): void {
  parent.command(name)
    .description(description)
    .argument('<ID>')
    .addOption(databaseOption())
    .action((id: string, { database }: { database: string }) => withDatabase(database, io, async (db) => {
      const { numUpdatedRows } = await db.updateTable('omnichannel_user').set({ active }).where('id', '=', id).executeTakeFirstOrThrow()
      if (numUpdatedRows === 0n) throw noSuchUser(id)
      io.stdout.write(`${done} user ${id}\n`)
    }))
}
