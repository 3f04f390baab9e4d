// docs/contract.md, section 7: the contact in the answer, key for key.

import { build } from '../helpers/test-server.js'
import t from '../helpers/engines.js'

t.test('a contact with a value in every column: the answer has all keys', async (t) => {
  const { update } = await build(t)
  const reply = await update({ contactId: 'maria' })
  t.equal(reply.statusCode, 200)
  t.strictSame(reply.json(), {
    contact: {
      _id: 'maria',
      createdAt: '2026-01-01T00:00:00.000Z',
      _updatedAt: '2026-01-01T00:00:00.000Z',
      name: 'Maria',
      emails: [{ address: 'maria@example.com' }, { address: 'm@example.org' }],
      phones: [{ phoneNumber: '+49 30 1' }],
      channels: [
        {
          name: 'Widget',
          visitor: { visitorId: 'visitor-1', source: { type: 'widget' } },
          blocked: false,
          verified: false,
          details: { type: 'widget', label: 'Site' },
          lastChat: { _id: 'room-1', ts: '2026-01-02T03:04:05.678Z' }
        },
        {
          name: 'SMS',
          visitor: { visitorId: 'visitor-2', source: { type: 'sms', id: 'twilio' } },
          blocked: false,
          verified: true,
          details: { type: 'sms' },
          field: 'phone',
          value: '+49 30 1',
          verifiedAt: '2026-01-02T00:00:00.000Z'
        }
      ],
      customFields: { plan: 'gold', legacy: 'kept' },
      unknown: true,
      preRegistration: false,
      conflictingFields: [{ field: 'name', value: 'Mary' }, { field: 'customFields.plan', value: 'silver' }],
      lastChat: { _id: 'room-1', ts: '2026-01-02T03:04:05.678Z' },
      contactManager: 'bob'
    },
    success: true
  })
})

const isoTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

t.test('a contact and a channel with only the required columns: the answer has the defaults, and no optional keys', async (t) => {
  const { update, db } = await build(t)
  await db.exec(`
    INSERT INTO omnichannel_contact (id, name) VALUES ('min', 'Min');
    INSERT INTO omnichannel_contact_channel (contact_id, position, name, visitor_id, source_type) VALUES ('min', 0, 'App', 'v', 'app');
  `)
  const reply = await update({ contactId: 'min' })
  const { contact } = reply.json()
  t.match(contact.createdAt, isoTime)
  t.match(contact._updatedAt, isoTime)
  t.strictSame(reply.json(), {
    contact: {
      _id: 'min',
      createdAt: contact.createdAt,
      _updatedAt: contact._updatedAt,
      name: 'Min',
      emails: [],
      phones: [],
      channels: [{
        name: 'App', visitor: { visitorId: 'v', source: { type: 'app' } }, blocked: false, verified: false, details: { type: 'app' }
      }],
      customFields: {},
      unknown: false,
      preRegistration: false,
      conflictingFields: []
    },
    success: true
  })
})

t.test('channels of each type: details have the type of the channel, unless they have their own', async (t) => {
  const { update, db } = await build(t)
  const types = ['widget', 'email', 'sms', 'app', 'api', 'other']
  for (const [position, type] of types.entries()) {
    const details = type === 'api' ? '{"type":"custom","nested":{"a":[1,null]}}' : '{}'
    await db.exec(`INSERT INTO omnichannel_contact_channel (contact_id, position, name, visitor_id, source_type, blocked, details)
      VALUES ('blank', $1, $2, $3, $2, TRUE, $4)`, position, type, `v${position}`, details)
  }
  const { contact } = (await update({ contactId: 'blank' })).json()
  t.strictSame(contact.channels, types.map((type, position) => ({
    name: type,
    visitor: { visitorId: `v${position}`, source: { type } },
    blocked: true,
    verified: false,
    details: type === 'api' ? { type: 'custom', nested: { a: [1, null] } } : { type }
  })))
})

t.test('an update: _updatedAt is the time of the update, and createdAt stays', async (t) => {
  const { update } = await build(t)
  const start = new Date().toISOString()
  const { contact } = (await update({ contactId: 'maria', phones: [] })).json()
  t.match(contact._updatedAt, isoTime)
  t.ok(contact._updatedAt >= start && contact._updatedAt <= new Date().toISOString())
  t.equal(contact.createdAt, '2026-01-01T00:00:00.000Z')
})

t.test('texts that look like JSON or numbers: stay texts', async (t) => {
  const { update, db } = await build(t)
  await db.exec("INSERT INTO omnichannel_contact (id, name) VALUES ('[1]', '{\"a\":1}'), ('1e3', '007')")
  t.equal((await update({ contactId: '[1]' })).json().contact.name, '{"a":1}')
  const texts = ['[1]', '{}', '"x"', '1e3', '007', 'null', 'true']
  const { contact } = (await update({ contactId: '1e3', name: '[]', emails: texts, phones: texts })).json()
  t.equal(contact.name, '[]')
  t.strictSame(contact.emails, texts.map((address) => ({ address })))
  t.strictSame(contact.phones, texts.map((phoneNumber) => ({ phoneNumber })))
})
