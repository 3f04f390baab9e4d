// docs/contract.md, sections 1 and 3: the schema of a body, its errors and its coercion.

import { allRows, build, changes } from '../helpers/test-server.js'
import t from '../helpers/engines.js'
import { invalid } from '../helpers/refusals.js'

const noContactId = "must have required property 'contactId'"
const unknownKey = 'must NOT have additional properties'
const duplicate = (later: number, earlier: number): string =>
  `must NOT have duplicate items (items ## ${later} and ${earlier} are identical)`

t.test("an invalid body: 400 with Ajv's first error", async (t) => {
  const { update, db } = await build(t)
  const maria = (rest: object): object => ({ contactId: 'maria', ...rest })
  const scenarios: Array<[situation: string, body: unknown, reason: string]> = [
    ['{}: contactId is missing', {}, noContactId],
    ['an array: not an object', [], 'must be object'],
    ['a string: not an object', 'x', 'must be object'],
    ['a number: not an object', 5, 'must be object'],
    ['true: not an object', true, 'must be object'],
    ['null: not an object', null, 'must be object'],
    ['contactId is an object', { contactId: {} }, 'must be string'],
    ['contactId is an array of one string: never unwrapped', { contactId: ['maria'] }, 'must be string'],
    ['name is an array', maria({ name: ['Maria'] }), 'must be string'],
    ['emails is a string: never wrapped', maria({ emails: 'a@b' }), 'must be array'],
    ['emails is an object', maria({ emails: { 0: 'a@b' } }), 'must be array'],
    ['emails is true', maria({ emails: true }), 'must be array'],
    ['emails is a number', maria({ emails: 1 }), 'must be array'],
    ['emails has an object', maria({ emails: [{ a: 1 }] }), 'must be string'],
    ['emails has an array', maria({ emails: ['a@b', ['c@d']] }), 'must be string'],
    ['emails has a text twice', maria({ emails: ['a@b', 'c@d', 'a@b'] }), duplicate(2, 0)],
    ['emails has __proto__ twice', maria({ emails: ['__proto__', '__proto__'] }), duplicate(1, 0)],
    ['emails has the name of an inherited property twice', maria({ emails: ['constructor', 'toString', 'toString'] }), duplicate(2, 1)],
    ['phones is a string', maria({ phones: '1' }), 'must be array'],
    ['phones has an object', maria({ phones: [{}] }), 'must be string'],
    ['phones has a text twice', maria({ phones: ['1', '1'] }), duplicate(1, 0)],
    ['phones has a text twice after coercion', maria({ phones: [1, '1'] }), duplicate(1, 0)],
    ['phones null and "" are the same text', maria({ phones: [null, ''] }), duplicate(1, 0)],
    ['phones has several duplicates: the last pair is reported', maria({ phones: ['1', '2', '1', '__proto__', '2', '1', '__proto__'] }), duplicate(6, 3)],
    ['customFields is a string', maria({ customFields: 'x' }), 'must be object'],
    ['customFields is an array', maria({ customFields: [] }), 'must be object'],
    ['customFields is true', maria({ customFields: true }), 'must be object'],
    ['contactManager is an object', maria({ contactManager: {} }), 'must be string'],
    ['contactManager is an array', maria({ contactManager: ['ann'] }), 'must be string'],
    ['wipeConflicts is a word', maria({ wipeConflicts: 'yes' }), 'must be boolean'],
    ['wipeConflicts is another number', maria({ wipeConflicts: 2 }), 'must be boolean'],
    ['wipeConflicts is an array', maria({ wipeConflicts: [true] }), 'must be boolean'],
    ['an unknown key', maria({ unknown: true }), unknownKey],
    ['an unknown key that is null', maria({ other: null }), unknownKey],
    ['keys differ in case', { ContactId: 'maria', contactId: 'maria' }, unknownKey],
    ['the key __proto__', maria({ ['__proto__']: {} }), unknownKey],
    ['the key constructor', maria({ constructor: 'x' }), unknownKey],
    ['the key hasOwnProperty', maria({ hasOwnProperty: 'x' }), unknownKey],
    ['contactId only in __proto__: missing', { ['__proto__']: { contactId: 'maria' } }, noContactId]
  ]
  const before = await allRows(db)
  for (const [situation, body, reason] of scenarios) {
    const reply = await update(body)
    t.strictSame([reply.statusCode, reply.json()], [400, invalid(reason)], situation)
    t.strictSame(await allRows(db), before, `${situation}: nothing changed`)
  }
})

t.test('a body with several errors: a missing contactId first, then unknown keys, then the keys in their order', async (t) => {
  const { update } = await build(t)
  // The keys of each body are in the reverse of the order in which their errors are reported.
  const wrongFlag = { wipeConflicts: [] }
  const wrongManager = { ...wrongFlag, contactManager: {} }
  const wrongFields = { ...wrongManager, customFields: 'x' }
  const wrongPhones = { ...wrongFields, phones: ['1', '1'] }
  const wrongEmails = { ...wrongPhones, emails: 'x' }
  const wrongName = { ...wrongEmails, name: {} }
  const wrongId = { ...wrongName, contactId: {} }
  const scenarios: Array<[situation: string, body: unknown, reason: string]> = [
    ['contactId is missing', { ...wrongName, unknown: 1 }, noContactId],
    ['then an unknown key', { ...wrongId, unknown: 1 }, unknownKey],
    ['then contactId', wrongId, 'must be string'],
    ['then name', { ...wrongName, contactId: 'maria' }, 'must be string'],
    ['then emails', { ...wrongEmails, contactId: 'maria' }, 'must be array'],
    ['then phones', { ...wrongPhones, contactId: 'maria' }, duplicate(1, 0)],
    ['then customFields', { ...wrongFields, contactId: 'maria' }, 'must be object'],
    ['then contactManager', { ...wrongManager, contactId: 'maria' }, 'must be string'],
    ['then wipeConflicts', { ...wrongFlag, contactId: 'maria' }, 'must be boolean'],
    ['in an array the items, then the duplicates', { contactId: 'maria', emails: ['a', 'a', {}] }, 'must be string']
  ]
  for (const [situation, body, reason] of scenarios) {
    t.equal((await update(body)).json().error, `${reason} [invalid-params]`, situation)
  }
})

t.test('values of other types: converted as Ajv does', async (t) => {
  const contactChanged = { 'contact maria': { unknown: 0, version: 2, updated_at: 'changed' } }
  const scenarios: Array<[situation: string, body: object, changed: object, status?: number]> = [
    ['a number is a phone', { phones: [4930, 1.5, true] }, {
      ...contactChanged,
      'contact_phone maria 0': { phone_number: '4930' },
      'contact_phone maria 1': { contact_id: 'maria', position: 1, phone_number: '1.5' },
      'contact_phone maria 2': { contact_id: 'maria', position: 2, phone_number: 'true' }
    }],
    ['null among e-mails is the empty text', { emails: [null] }, {
      ...contactChanged, 'contact_email maria 0': { address: '' }, 'contact_email maria 1': 'deleted'
    }],
    ['null for every key that may be null: nothing to change',
      { emails: null, phones: null, customFields: null, contactManager: null, wipeConflicts: null }, {}],
    ['"" for a list, an object or a flag is null', { emails: '', phones: '', customFields: '', wipeConflicts: '' }, {}],
    ['0 for a list, an object or a flag: null, or false', { emails: 0, phones: 0, customFields: 0, wipeConflicts: 0 }, {}],
    ['false for a list, an object or a flag: null, or false', { emails: false, phones: false, customFields: false, wipeConflicts: 'false' }, {}],
    ['a number is a manager, who is not found', { contactManager: 7 }, {}, 400]
  ]
  for (const wipeConflicts of ['true', 1, true]) {
    scenarios.push([`wipeConflicts ${JSON.stringify(wipeConflicts)} is true`, { wipeConflicts }, {
      'contact maria': { ...contactChanged['contact maria'], conflicting_fields: '[]' },
      'statistic Resolved_Conflicts_Count': { name: 'Resolved_Conflicts_Count', value: 2 }
    }])
  }
  for (const [situation, body, changed, status = 200] of scenarios) {
    await t.test(situation, async (t) => {
      const { update, db } = await build(t)
      const before = await allRows(db)
      const reply = await update({ contactId: 'maria', ...body })
      t.equal(reply.statusCode, status)
      t.strictSame(changes(before, await allRows(db)), changed)
    })
  }
})

t.test('a number or null for contactId or name: becomes its text or ""', async (t) => {
  const { update, db } = await build(t)
  await db.exec("INSERT INTO omnichannel_contact (id, name) VALUES ('7', 'Seven'), ('true', 'True')")
  t.equal((await update({ contactId: 7 })).json().contact.name, 'Seven')
  t.equal((await update({ contactId: true })).json().contact.name, 'True')
  t.equal((await update({ contactId: 7, name: 8 })).json().contact.name, '8')
  t.strictSame((await update({ contactId: null })).json(), { success: false, error: 'error-contact-not-found' })
  t.strictSame((await update({ contactId: 'maria', name: null })).json(), { success: false, error: 'error-invalid-operation' })
  t.equal((await update({ contactId: 'blank', name: null })).json().contact.name, '')
})
