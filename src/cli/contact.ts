import { findContact, toContact } from '../rules/contact.js'
import { sqliteStore } from '../store/sqlite/sqlite-store.js'
import type { Command } from './command.js'
import { CommandError } from './errors.js'
import { databaseOption, withDatabase } from './open-database.js'

const lockTimeout = 5000 // ms

export const contact: Command = {
  name: 'contact',
  summary: 'Show a contact as the API would, and its rooms, as JSON',
  operands: ['ID'],
  options: { database: databaseOption },
  run: (given, io) => withDatabase(given, io, async (database) => {
    const [contactId = ''] = given.operands
    const stored = await sqliteStore(database).read(() => findContact(contactId), lockTimeout)
    if (stored === undefined) throw new CommandError(`There is no contact ${contactId}, or it is disabled`)
    const rooms = database
      .prepare('SELECT id AS _id, fname, updated_at AS _updatedAt FROM omnichannel_room WHERE contact_id = ? ORDER BY id')
      .all(contactId)
    io.stdout.write(`${JSON.stringify({ contact: toContact(stored), rooms }, null, 2)}\n`)
  })
}
