import type { Command } from 'commander'
import type { Io } from '../command.js'
import { CommandError } from '../errors.js'
import { databaseOption, withDatabase } from '../open-database.js'
import { readContact } from './read.js'

export function showContact (parent: Command, io: Io): void {
  parent.command('show', { isDefault: true })
    .description('Show a contact as the API would, and its rooms, as JSON; the word show may be left out')
    .argument('<ID>', 'the id of the contact')
    .addOption(databaseOption())
    .action((id: string, { database }: { database: string }) => withDatabase(database, io, async (db, opened) => {
      const contact = await readContact(opened, id)
      if (contact === undefined) throw new CommandError(`There is no contact ${id}, or it is disabled; contact list --search finds an id`)
      const rooms = await db
        .selectFrom('omnichannel_room')
        .select(['id as _id', 'fname', 'updated_at as _updatedAt'])
        .where('contact_id', '=', id)
        .orderBy('id')
        .execute()
      io.stdout.write(`${JSON.stringify({ contact, rooms }, null, 2)}\n`)
    }))
}
