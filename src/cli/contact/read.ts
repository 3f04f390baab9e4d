import type Database from 'better-sqlite3'
import type { Contact } from '../../rules/schemas.js'

/** A contact as the API shows it; nothing where there is none or it is disabled. */
export async function readContact (handle: Database.Database, id: string): Promise<Contact | undefined> {
  const [{ findContact, toContact }, { sqliteStore }] = await Promise.all([
    import('../../rules/contact.js'), import('../../store/sqlite/sqlite-store.js')
  ])
  const stored = await sqliteStore(handle).read(() => findContact(id), 5000)
  return stored === undefined ? undefined : toContact(stored)
}
