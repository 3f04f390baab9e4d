import type { Command } from '@commander-js/extra-typings'
import type { Contact } from '../rules/wire-schemas.js'
import { databaseOption, withDatabase } from './database.js'
import { CommandError } from './errors.js'
import { printJson, printTable, report } from './output.js'
import { isFileHandle, lockTimeoutMs, wholeNumber, type Handle, type Io } from './shared.js'

export function contact (program: Command, io: Io): void {
  const group = program.command('contact').description('Show a contact, or find one')

  group.command('show', { isDefault: true })
    .description('Show a contact as the API would, and its rooms, as JSON; the word show may be left out')
    .argument('<ID>', 'the id of the contact')
    .addOption(databaseOption())
    .action((id, { database }) => withDatabase(database, io, 'read', async ({ db, handle }) => {
      const contact = await loadContact(handle, id)
      if (contact === undefined) throw new CommandError(`There is no contact ${id}, or it is disabled; contact list --search finds an id`)
      const rooms = await db
        .selectFrom('omnichannel_room')
        .select(['id as _id', 'fname', 'updated_at as _updatedAt'])
        .where('contact_id', '=', id)
        .orderBy('id')
        .execute()
      printJson(io, { contact, rooms })
    }))

  group.command('list')
    .summary('List contacts, or find one by its name, an e-mail address or a phone number')
    .description('List contacts, or find one by its name, an e-mail address or a phone number.\n\n' +
      'Addresses and numbers must begin with the text, as it is written or in lower case. Names may contain it anywhere, in upper or ' +
      'lower case. Searching a million names takes about two seconds.')
    .addOption(databaseOption())
    .option('--search <TEXT>', 'the start of an e-mail address or a phone number, or a part of a name', (text) => text.trim())
    .option('--json', 'as the API shows them, instead of a table')
    .option('--limit <COUNT>', 'how many at most', wholeNumber(1), 100)
    .action(({ database, search, json, limit }) => withDatabase(database, io, 'read', async ({ db, handle }) => {
      const { findContactIds } = await import('./find-contacts.js')
      const ids = await findContactIds(db, isFileHandle(handle) ? 'sqlite' : 'postgres', search, limit + 1)
      const contacts: Contact[] = []
      for (const id of ids.slice(0, limit)) {
        const found = await loadContact(handle, id)
        // Another program may have deleted or disabled it since.
        if (found !== undefined) contacts.push(found)
      }

      if (json) printJson(io, contacts)
      else {
        printTable(io, ['ID', 'NAME', 'E-MAILS', 'PHONES'], contacts.map(({ _id, name, emails, phones }) => [
          _id, name, emails.map(({ address }) => address).join(', '), phones.map(({ phoneNumber }) => phoneNumber).join(', ')
        ]))
      }
      if (ids.length > limit) report(io, `There are more contacts than these ${limit}; see --limit and --search`)
      if (ids.length === 0) report(io, search === undefined ? 'There is no contact yet' : `No contact matches ${search}`)
    }))
}

/** The contact as the API shows it. Undefined if it is unknown or disabled. */
async function loadContact (handle: Handle, id: string): Promise<Contact | undefined> {
  const [{ readContact, toContact }, { openStore }] = await Promise.all([
    import('../rules/contact.js'), import('../store/open-store.js')
  ])
  const stored = await openStore(handle, () => undefined).read(readContact(id), lockTimeoutMs)
  return stored === undefined ? undefined : toContact(stored)
}
