// docs/contract.md, section 5, items 1 to 6: the rows that an update changes.

import { allRows, build, changes } from '../helpers/test-server.js'
import t from '../helpers/engines.js'

/** The columns that every first update of a contact changes. */
const written = { unknown: 0, version: 2, updated_at: 'changed' }

t.test('an update: the keys of the body are written, and nothing else', async (t) => {
  const email = (position: number, address: string): object => ({ contact_id: 'maria', position, address })
  const phone = (position: number, number: string): object => ({ contact_id: 'maria', position, phone_number: number })
  const resolvedConflicts = (value: number): object => ({ 'statistic Resolved_Conflicts_Count': { name: 'Resolved_Conflicts_Count', value } })
  const scenarios: Array<[situation: string, body: object, changed: Record<string, unknown>]> = [
    ['only contactId: nothing', {}, {}],
    ['only nulls: nothing', { emails: null, phones: null, customFields: null, contactManager: null, wipeConflicts: null }, {}],
    ['wipeConflicts false: nothing', { wipeConflicts: false }, {}],
    ['wipeConflicts false with phones: only the phones', { wipeConflicts: false, phones: [] }, {
      'contact maria': written, 'contact_phone maria 0': 'deleted'
    }],
    ['the name that is stored: a change, but no rename', { name: 'Maria' }, { 'contact maria': written }],
    ['e-mails that are stored: a change', { emails: ['maria@example.com', 'm@example.org'] }, { 'contact maria': written }],
    ['the manager that is stored: a change', { contactManager: 'bob' }, { 'contact maria': written }],
    ['custom fields that are stored: a change', { customFields: { plan: 'gold' } }, { 'contact maria': written }],
    ['e-mails: the list is replaced, order kept', { emails: ['z@z', 'maria@example.com', 'a@a'] }, {
      'contact maria': written,
      'contact_email maria 0': { address: 'z@z' },
      'contact_email maria 1': { address: 'maria@example.com' },
      'contact_email maria 2': email(2, 'a@a')
    }],
    ['e-mails in another order: that order', { emails: ['m@example.org', 'maria@example.com'] }, {
      'contact maria': written,
      'contact_email maria 0': { address: 'm@example.org' },
      'contact_email maria 1': { address: 'maria@example.com' }
    }],
    ['e-mails []: none', { emails: [] }, {
      'contact maria': written, 'contact_email maria 0': 'deleted', 'contact_email maria 1': 'deleted'
    }],
    ['e-mails: verbatim', { emails: [' MARIA@Example.com ', '', 'no address', 'a\u0000b', 'ü\u0301🙂', '␀', '\u0000␀0␀1␀\u0000', '{"NULL",\\'] }, {
      'contact maria': written,
      'contact_email maria 0': { address: ' MARIA@Example.com ' },
      'contact_email maria 1': { address: '' },
      'contact_email maria 2': email(2, 'no address'),
      'contact_email maria 3': email(3, 'a\u0000b'),
      'contact_email maria 4': email(4, 'ü\u0301🙂'),
      'contact_email maria 5': email(5, '␀'),
      'contact_email maria 6': email(6, '\u0000␀0␀1␀\u0000'),
      'contact_email maria 7': email(7, '{"NULL",\\')
    }],
    ['phones: the list is replaced, verbatim', { phones: ['0', '+49 (30) 1 ', 'a\u0000b'] }, {
      'contact maria': written,
      'contact_phone maria 0': { phone_number: '0' },
      'contact_phone maria 1': phone(1, '+49 (30) 1 '),
      'contact_phone maria 2': phone(2, 'a\u0000b')
    }],
    ['phones []: none', { phones: [] }, { 'contact maria': written, 'contact_phone maria 0': 'deleted' }],
    ['manager: an agent', { contactManager: 'ann' }, { 'contact maria': { contact_manager: 'ann', ...written } }],
    ['manager "": none', { contactManager: '' }, { 'contact maria': { contact_manager: null, ...written } }],
    ['wipeConflicts: the conflicts are removed and counted', { wipeConflicts: true }, { 'contact maria': { conflicting_fields: '[]', ...written }, ...resolvedConflicts(2) }],
    ['wipeConflicts with a name: the conflicts count once', { wipeConflicts: true, name: 'Maria' }, {
      'contact maria': { conflicting_fields: '[]', ...written }, ...resolvedConflicts(2)
    }]
  ]
  for (const [situation, body, changed] of scenarios) {
    await t.test(situation, async (t) => {
      const { update, db } = await build(t)
      const before = await allRows(db)
      const previous = (await update({ contactId: 'maria' })).json().contact
      const reply = await update({ contactId: 'maria', ...body })
      t.equal(reply.statusCode, 200)
      t.strictSame(changes(before, await allRows(db)), changed)
      const { contact } = reply.json()
      t.strictSame((await update({ contactId: 'maria' })).json().contact, contact, 'the answer is what is stored')
      if (Object.keys(changed).length === 0) t.strictSame(contact, previous)
      t.equal(contact.unknown, Object.keys(changed).length === 0)
    })
  }
})

t.test('a name: stored verbatim, and setting it resolves no conflict', async (t) => {
  const { update, db } = await build(t)
  for (const name of [' Maria ', '   ', 'x\u0000y', '<b>', '\u202Eairam', '"; DROP TABLE omnichannel_contact; --', '🙂'.repeat(1000)]) {
    const reply = await update({ contactId: 'maria', name })
    t.equal(reply.statusCode, 200)
    t.equal(reply.json().contact.name, name)
    t.equal(reply.json().contact.conflictingFields.length, 2)
    t.equal(await db.value("SELECT name FROM omnichannel_contact WHERE id = 'maria'"), name)
  }
})

t.test('an update of all keys: channels, lastChat, createdAt and preRegistration stay', async (t) => {
  const { update, db } = await build(t)
  await db.exec("UPDATE omnichannel_contact SET pre_registration = TRUE WHERE id = 'maria'")
  const kept = (await update({ contactId: 'maria' })).json().contact
  delete kept.contactManager
  const reply = await update({
    contactId: 'maria', name: 'X', emails: [], phones: [], customFields: { plan: 'silver' }, contactManager: '', wipeConflicts: true
  })
  t.strictSame(reply.json(), {
    contact: {
      ...kept,
      _updatedAt: reply.json().contact._updatedAt,
      name: 'X',
      emails: [],
      phones: [],
      customFields: { plan: 'silver', legacy: 'kept' },
      conflictingFields: [],
      unknown: false
    },
    success: true
  })
})

t.test('"" or null for the name of a contact without a name: accepted, and counts as a change', async (t) => {
  for (const name of ['', null]) {
    const { update, db } = await build(t)
    const before = await allRows(db)
    const reply = await update({ contactId: 'blank', name })
    t.equal(reply.statusCode, 200)
    t.equal(reply.json().contact.name, '')
    t.strictSame(changes(before, await allRows(db)), { 'contact blank': written })
  }
})

t.test('several updates with wipeConflicts: the statistic has the sum of the conflicts that they removed', async (t) => {
  const { update, db } = await build(t)
  const count = async (): Promise<unknown> => await db.value("SELECT value FROM omnichannel_statistic WHERE name = 'Resolved_Conflicts_Count'")
  await update({ contactId: 'blank', wipeConflicts: true })
  t.equal(await count() ?? 0, 0)
  await update({ contactId: 'maria', wipeConflicts: true, contactManager: 'nobody' })
  t.equal(await count() ?? 0, 0, 'a refused update resolves none')
  await update({ contactId: 'maria', wipeConflicts: true })
  await update({ contactId: 'maria', wipeConflicts: true })
  t.equal(await count(), 2)
  await db.exec(`UPDATE omnichannel_contact SET conflicting_fields = '[{"field":"manager","value":"x"}]' WHERE id = 'blank'`)
  await update({ contactId: 'blank', wipeConflicts: true })
  t.equal(await count(), 3)
})

t.test('an inactive agent as manager: accepted', async (t) => {
  const { update } = await build(t)
  t.equal((await update({ contactId: 'maria', contactManager: 'ina' })).json().contact.contactManager, 'ina')
})

t.test('phones whose positions have gaps, because the host has deleted rows: replaced by the sent list, and kept if none was sent', async (t) => {
  const { update, db } = await build(t)
  const stored = async (): Promise<unknown[]> => await db.rows('SELECT position, phone_number AS value FROM omnichannel_contact_phone ORDER BY position')
  const positionLists = [[0, 2, 5], [1], [1, 2], [7, 3_000_000]]
  for (const positions of positionLists) {
    const values = ['a', 'b', 'c'].slice(0, positions.length)
    const rows = positions.map((position, index) => ({ position, value: values[index] }))
    for (const phones of [undefined, [], values, values.slice(0, -1), [...values, 'd'], [...values.slice(0, -1), 'd'], ['d', 'e', 'f', 'g']]) {
      await db.exec('DELETE FROM omnichannel_contact_phone')
      for (const { position, value } of rows) await db.exec("INSERT INTO omnichannel_contact_phone VALUES ('maria', $1, $2)", position, value ?? null)
      const reply = await update({ contactId: 'maria', name: 'Maria', phones })
      const situation = `${positions.join()} → ${JSON.stringify(phones)}`
      t.strictSame(reply.json().contact.phones, (phones ?? values).map((phoneNumber) => ({ phoneNumber })), situation)
      t.strictSame(await stored(), phones?.map((value, position) => ({ position, value })) ?? rows, situation)
    }
  }
})

t.test('a UNIQUE index of the host over e-mail addresses: items may change places, and the address of another contact is a 500', async (t) => {
  const { update, db } = await build(t)
  await db.exec('CREATE UNIQUE INDEX host ON omnichannel_contact_email (address)')
  const stored = async (): Promise<unknown[]> => await db.column('SELECT address FROM omnichannel_contact_email ORDER BY position')
  const lists = [
    ['a', 'b', 'c'], ['b', 'c'], ['c', 'b'], ['x', 'c', 'b'], ['b', 'x'], ['x'], ['y', 'x'], ['a', 'y', 'x'],
    ['a', 'x', 'y'], ['y'], ['y', 'a', 'x'], ['x', 'a', 'y'], [], ['b', 'a']
  ]
  for (const emails of lists) {
    const reply = await update({ contactId: 'maria', emails })
    t.equal(reply.statusCode, 200, emails.join())
    t.strictSame(await stored(), emails, emails.join())
  }
  t.equal((await update({ contactId: 'blank', emails: ['c', 'a'] })).statusCode, 500)
  t.strictSame(await stored(), ['b', 'a'])
})

t.test('a UNIQUE index of the host that ignores case: items may change places and case together', async (t) => {
  const { update, db } = await build(t)
  await db.exec('CREATE UNIQUE INDEX host ON omnichannel_contact_email (lower(address))')
  for (const emails of [['a', 'b'], ['B', 'A'], ['c', 'b'], ['C', 'a', 'B']]) {
    const reply = await update({ contactId: 'maria', emails })
    t.equal(reply.statusCode, 200, emails.join())
    t.strictSame(await db.column('SELECT address FROM omnichannel_contact_email ORDER BY position'), emails)
  }
})
