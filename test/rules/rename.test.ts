// docs/contract.md, section 5, item 7: a new name is copied to rooms, subscriptions and inquiries.

import { allRows, build, changes } from '../helpers/test-server.js'
import t from '../helpers/engines.js'

t.test('a new name: copied to every room of the contact, and to every subscription and inquiry of its visitors', async (t) => {
  const { update, db } = await build(t)
  await db.exec(`
    INSERT INTO omnichannel_subscription (id, room_id, visitor_id, name, fname, updated_at) VALUES
      ('sub-4', 'room-8', 'visitor-1', 'An old name', 'Another', '2026-01-01T00:00:00.000Z');
    INSERT INTO omnichannel_inquiry (id, room_id, visitor_id, name, updated_at) VALUES
      ('inq-2', 'room-2', 'visitor-2', 'Maria', '2026-01-01T00:00:00.000Z');
    INSERT INTO omnichannel_room (id, contact_id, fname, updated_at) VALUES
      ('room-4', 'maria', 'An old name', '2026-01-01T00:00:00.000Z'), ('room-5', 'gone', 'Maria', '2026-01-01T00:00:00.000Z');
  `)
  const before = await allRows(db)
  t.equal((await update({ contactId: 'maria', name: 'Mara' })).statusCode, 200)
  t.strictSame(changes(before, await allRows(db)), {
    'contact maria': { name: 'Mara', unknown: 0, version: 2, updated_at: 'changed' },
    'inquiry inq-1': { name: 'Mara', updated_at: 'changed' },
    'inquiry inq-2': { name: 'Mara', updated_at: 'changed' },
    'room room-1': { fname: 'Mara', updated_at: 'changed' },
    'room room-2': { fname: 'Mara', updated_at: 'changed' },
    'room room-4': { fname: 'Mara', updated_at: 'changed' },
    'subscription sub-1': { name: 'Mara', fname: 'Mara', updated_at: 'changed' },
    'subscription sub-2': { name: 'Mara', fname: 'Mara', updated_at: 'changed' },
    'subscription sub-4': { name: 'Mara', fname: 'Mara', updated_at: 'changed' }
  })
})

t.test('a new name of a contact without channels: copied to its rooms only', async (t) => {
  const { update, db } = await build(t)
  const before = await allRows(db)
  t.equal((await update({ contactId: 'blank', name: 'Bo' })).statusCode, 200)
  t.strictSame(changes(before, await allRows(db)), {
    'contact blank': { name: 'Bo', unknown: 0, version: 2, updated_at: 'changed' },
    'room room-3': { fname: 'Bo', updated_at: 'changed' }
  })
})

t.test('the name that is stored, or none: rooms and inquiries with another name keep it', async (t) => {
  const { update, db } = await build(t)
  await db.exec("UPDATE omnichannel_room SET fname = 'Other'; UPDATE omnichannel_inquiry SET name = 'Other'")
  for (const body of [{ name: 'Maria' }, { emails: [] }, { wipeConflicts: true }, {}]) {
    const before = await allRows(db)
    t.equal((await update({ contactId: 'maria', ...body })).statusCode, 200)
    const changed = Object.keys(changes(before, await allRows(db)))
    t.strictSame(changed.filter((row) => /^(room|subscription|inquiry)/.test(row)), [], JSON.stringify(body))
  }
})

t.test('a name that differs only in case, white space or Unicode form: copied like any new name', async (t) => {
  const { update, db } = await build(t)
  for (const name of ['maria', 'maria ', 'M\u00FCller', 'Mu\u0308ller']) {
    await update({ contactId: 'maria', name })
    t.equal(await db.value("SELECT fname FROM omnichannel_room WHERE id = 'room-1'"), name)
    t.equal(await db.value("SELECT name FROM omnichannel_subscription WHERE id = 'sub-1'"), name)
  }
})

t.test('a visitor in two channels or of two contacts: a rename of one contact changes the rows of all its visitors', async (t) => {
  const { update, db } = await build(t)
  await db.exec(`
    INSERT INTO omnichannel_contact_channel (contact_id, position, name, visitor_id, source_type) VALUES
      ('maria', 2, 'App', 'visitor-1', 'app'), ('blank', 0, 'App', 'visitor-2', 'app')
  `)
  const before = await allRows(db)
  await update({ contactId: 'blank', name: 'Bo' })
  t.strictSame(changes(before, await allRows(db)), {
    'contact blank': { name: 'Bo', unknown: 0, version: 2, updated_at: 'changed' },
    'room room-3': { fname: 'Bo', updated_at: 'changed' },
    'subscription sub-2': { name: 'Bo', fname: 'Bo', updated_at: 'changed' }
  })
  await update({ contactId: 'maria', name: 'Mara' })
  t.strictSame(
    await db.column('SELECT name FROM omnichannel_subscription ORDER BY id'), ['Mara', 'Mara', 'Other'])
})
