import type { Contact } from '../../rules/schemas.js'
import type { Opened } from '../opened.js'

/** A contact as the API shows it; nothing where there is none or it is disabled. */
export async function readContact ({ given }: Opened, id: string): Promise<Contact | undefined> {
  const [{ readContact: read, toContact }, { openStore }] = await Promise.all([
    import('../../rules/contact.js'), import('../../store/open-store.js')
  ])
  const stored = await openStore(given, () => undefined).read(read(id), 5000)
  return stored === undefined ? undefined : toContact(stored)
}
