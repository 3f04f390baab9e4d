// How the types of MongoDB are stored, in custom fields and in times.

import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openFile } from './sqlite-files.js'
import { cli } from './run-cli.js'

/** Values of custom fields in extended JSON, and as they are stored. */
const values: Array<[exported: string, stored: string]> = [
  ['{"$numberInt":"-42"}', '-42'],
  ['{"$numberLong":"9007199254740991"}', '9007199254740991'],
  ['{"$numberLong":"9007199254740993"}', '"9007199254740993"'],
  ['{"$numberLong":"-9223372036854775808"}', '"-9223372036854775808"'],
  ['{"$numberDouble":"2.50"}', '2.5'],
  ['{"$numberDouble":"-0.0"}', '0'],
  ['{"$numberDouble":"Infinity"}', '"Infinity"'],
  ['{"$numberDouble":"NaN"}', '"NaN"'],
  ['1e400', '"Infinity"'],
  ['{"$numberDecimal":"1.50"}', '"1.50"'],
  ['{"$numberDecimal":"123456789012345678901234567890"}', '"123456789012345678901234567890"'],
  ['{"$oid":"66F0A1B2C3D4E5F601234567"}', '"66f0a1b2c3d4e5f601234567"'],
  ['{"$date":"2024-02-29T10:00:00Z"}', '"2024-02-29T10:00:00.000Z"'],
  ['{"$minKey":1}', '{"$minKey":1}'],
  ['{"$binary":{"base64":"AAEC","subType":"00"}}', '{"$binary":{"base64":"AAEC","subType":"00"}}'],
  ['{"$timestamp":{"t":1,"i":2}}', '{"$timestamp":{"t":1,"i":2}}'],
  // An object whose key begins with a dollar but is no type: an ordinary object.
  ['{"$price":{"$numberInt":"5"}}', '{"$price":5}'],
  ['{"$oid":"66f0a1b2c3d4e5f601234567","plan":"gold"}', '{"$oid":"66f0a1b2c3d4e5f601234567","plan":"gold"}'],
  ['{"$undefined":false}', '{"$undefined":false}'],
  ['{"__proto__":{"a":{"$numberInt":"1"}}}', '{"__proto__":{"a":1}}'],
  ['{"toString":1,"constructor":2}', '{"toString":1,"constructor":2}'],
  ['["a",{"$numberInt":"1"},null]', '["a",1,null]']
]

/** Times in extended JSON, and as they are stored. */
const times: Array<[exported: string, stored: string]> = [
  ['{"$date":"2024-05-01T10:00:00.123Z"}', '2024-05-01T10:00:00.123Z'],
  ['{"$date":"2024-05-01T10:00:00.5Z"}', '2024-05-01T10:00:00.500Z'],
  ['{"$date":"2024-05-01T10:00:00.123456Z"}', '2024-05-01T10:00:00.123Z'],
  ['{"$date":"2024-05-01T10:00:00.000+0200"}', '2024-05-01T08:00:00.000Z'],
  ['{"$date":"2024-03-01T00:30:00+01:00"}', '2024-02-29T23:30:00.000Z'],
  ['{"$date":"2024-12-31T23:59:59Z"}', '2024-12-31T23:59:59.000Z'],
  ['{"$date":{"$numberLong":"1714557600123"}}', '2024-05-01T10:00:00.123Z'],
  ['{"$date":{"$numberLong":"-1"}}', '1969-12-31T23:59:59.999Z'],
  ['{"$date":1714557600123}', '2024-05-01T10:00:00.123Z'],
  ['"2024-05-01T10:00:00.123Z"', '2024-05-01T10:00:00.123Z'],
  ['{"$date":"0000-01-01T00:00:00Z"}', '0000-01-01T00:00:00.000Z'],
  ['{"$date":"9999-12-31T23:59:59.999Z"}', '9999-12-31T23:59:59.999Z']
]

const document = (id: string, fields: string) => `{"_id":"${id}","name":"",${fields}}\n`

/** Imports contacts. Returns a function that reads a column of one of them. */
async function importContacts (t: Test, documents: string[]) {
  const file = join(t.testdir(), 'a.db')
  const { code, err } = await cli(['import', '--database', file, '--contacts', '-'], { stdin: documents.join('') })
  t.strictSame([code, err], [0, ''])
  const database = openFile(t, file)
  return (id: string, column: string) => database.prepare(`SELECT ${column} FROM omnichannel_contact WHERE id = ?`).pluck().get(id)
}

t.test('values in custom fields: stored as JSON', async (t) => {
  const read = await importContacts(t, values.map(([exported], index) => document(`c${index}`, `"customFields":{"a":${exported}}`)))
  values.forEach(([exported, stored], index) => t.equal(read(`c${index}`, 'custom_fields'), `{"a":${stored}}`, exported))
})

t.test('times: stored as ISO 8601 in UTC', async (t) => {
  const read = await importContacts(t, times.map(([exported], index) => document(`c${index}`, `"createdAt":${exported}`)))
  times.forEach(([exported, stored], index) => t.equal(read(`c${index}`, 'created_at'), stored, exported))
})

t.test('an undefined value, or null: as if its key were absent', async (t) => {
  const read = await importContacts(t, [
    document('one', '"customFields":{"a":1,"b":{"$undefined":true}}'),
    document('all', '"customFields":{"$undefined":true},"emails":{"$undefined":true},"unknown":{"$undefined":true},"lastChat":null')
  ])
  t.equal(read('one', 'custom_fields'), '{"a":1}')
  t.equal(read('all', 'custom_fields'), '{}')
})

t.test('a channel whose type is no text: of the type other', async (t) => {
  const channel = '{"visitor":{"visitorId":"v","source":{"type":{"toString":1}}},"details":{"type":"sms"}}'
  const read = await importContacts(t, [document('c', `"channels":[${channel}]`)])
  t.equal(read('c', '(SELECT source_type FROM omnichannel_contact_channel)'), 'other')
})
