// docs/contract.md, section 6. helpers/test-server.ts defines the fields plan (required, gold or silver) and note. maria has the values
// plan: gold and legacy: kept.

import type { Test } from 'tap'
import { allRows, build, changes, type Setup, type TestServer } from '../helpers/test-server.js'
import t from '../helpers/engines.js'

type Fields = Record<string, unknown>
interface Definition { label: string, required: boolean, regexp: string, visibility: string, scope: string }
interface FieldsWorld extends TestServer {
  /** Sends customFields for maria. Resolves to the stored fields, or to the error of a refusal, which must not change anything. */
  sendFields: (customFields: Fields) => Promise<unknown>
  /** Adds the definition of a field, or replaces it. */
  define: (id: string, definition?: Partial<Definition>) => Promise<void>
}

async function buildFields (t: Test, setup?: Setup): Promise<FieldsWorld> {
  const testServer = await build(t, setup)
  const { db, update } = testServer
  const readFields = async (): Promise<Fields> => JSON.parse(
    (await db.value<string>("SELECT custom_fields FROM omnichannel_contact WHERE id = 'maria'"))!)
  return {
    ...testServer,
    sendFields: async (customFields) => {
      const before = await allRows(db)
      const reply = await update({ contactId: 'maria', customFields })
      if (reply.statusCode === 200) {
        t.strictSame(reply.json().contact.customFields, await readFields(), 'the answer is what is stored')
        return await readFields()
      }
      t.strictSame([reply.statusCode, reply.json()], [400, { success: false, error: reply.json().error }])
      t.strictSame(changes(before, await allRows(db)), {})
      return reply.json().error
    },
    define: async (id, { label = '', required = false, regexp = '', visibility = 'visible', scope = 'visitor' } = {}) => {
      await db.exec('DELETE FROM omnichannel_custom_field WHERE id = $1', id)
      await db.exec('INSERT INTO omnichannel_custom_field (id, label, scope, visibility, required, regexp) VALUES ($1, $2, $3, $4, $5, $6)',
        id, label, scope, visibility, required, regexp)
    }
  }
}

const legacy = 'kept'

t.test('values: stored as trimmed texts, absent if empty, and an error if not scalar', async (t) => {
  const { sendFields } = await buildFields(t)
  const withNote = (note: unknown): Fields => ({ plan: 'gold', note, legacy })
  const withoutNote = { plan: 'gold', legacy }
  const scenarios: Array<[situation: string, note: unknown, expected: unknown]> = [
    ['a text', 'hello', withNote('hello')],
    ['white space around', ' \u00A0\uFEFF\n hello  you\t', withNote('hello  you')],
    ['0', 0, withNote('0')],
    ['a number', -1.5e30, withNote('-1.5e+30')],
    ['false', false, withNote('false')],
    ['true', true, withNote('true')],
    ['a NUL', 'a\u0000b', withNote('a\u0000b')],
    ['null', null, withoutNote],
    ['empty', '', withoutNote],
    ['blank', ' \t\r\n\u2003', withoutNote],
    ['an object', {}, 'Invalid value for note field'],
    ['an array', [], 'Invalid value for note field'],
    ['an array of one text', ['x'], 'Invalid value for note field']
  ]
  for (const [situation, note, expected] of scenarios) {
    t.strictSame(await sendFields({ plan: 'gold', note }), expected, situation)
  }
  await sendFields({ plan: 'gold', note: 'x' })
  t.strictSame(await sendFields({ plan: 'gold' }), withoutNote, 'an allowed field that is left out: removed')
})

t.test('a required field that is absent, null, empty or blank: an error', async (t) => {
  const { sendFields } = await buildFields(t)
  for (const sent of [{}, { plan: null }, { plan: '' }, { plan: ' \n' }, { plan: [] }, { plan: {} }, { note: 'x' }]) {
    t.equal(await sendFields(sent), 'Invalid value for Plan field', JSON.stringify(sent))
  }
})

t.test('{} without required fields: removes all registered values', async (t) => {
  const { sendFields, define } = await buildFields(t)
  await define('plan')
  await sendFields({ plan: 'x', note: 'y' })
  t.strictSame(await sendFields({}), { legacy })
})

t.test('patterns: tested without flags, unanchored, on the trimmed text', async (t) => {
  const { sendFields, define } = await buildFields(t)
  await define('plan')
  const scenarios: Array<[regexp: string, value: unknown, fits: boolean]> = [
    ['b', 'abc', true],
    ['B', 'abc', false],
    ['^b', 'abc', false],
    ['^abc$', '  abc\n', true],
    ['^abc$', 'abc\nabc', false],
    ['a.c', 'a\nc', false],
    ['^\\d+$', 12, true],
    ['^true$', true, true],
    ['^(?=.*\\d)(?=.*[a-z]).{3,}$', 'ab1', true],
    ['^(?=.*\\d)(?=.*[a-z]).{3,}$', 'abc', false],
    ['^(.)\\1$', 'aa', true],
    ['^(.)\\1$', 'ab', false],
    ['^.$', '🙂', false],
    ['^\\w$', 'é', false],
    ['^x$', '', true],
    ['^x$', ' ', true]
  ]
  for (const [regexp, value, fits] of scenarios) {
    await define('note', { regexp, label: 'Note' })
    const text = String(value).trim()
    // An empty text is as if absent, so no pattern is tested on it.
    const stored = text === '' ? { legacy } : { note: text, legacy }
    t.strictSame(await sendFields({ note: value }), fits ? stored : 'Invalid value for Note field', `${regexp} on ${JSON.stringify(value)}`)
  }
})

t.test('several errors: definitions in the order of insertion first, then unknown keys in the order of the body', async (t) => {
  const { sendFields, define } = await buildFields(t)
  await define('a', { label: 'A', regexp: '^x$' })
  const scenarios: Array<[sent: Fields, error: string]> = [
    [{ zzz: 1, a: 'y', note: {}, plan: '' }, 'Invalid value for Plan field'],
    [{ zzz: 1, a: 'y', note: {}, plan: 'gold' }, 'Invalid value for note field'],
    [{ zzz: 1, a: 'y', plan: 'gold' }, 'Invalid value for A field'],
    [{ zzz: 1, aaa: null, a: 'x', plan: 'gold' }, 'Custom field zzz is not allowed'],
    [{ plan: 'gold', '': 1 }, 'Custom field  is not allowed']
  ]
  for (const [sent, error] of scenarios) t.equal(await sendFields(sent), error)
})

t.test('hidden fields and fields of rooms: not allowed, and their stored values are kept', async (t) => {
  const { sendFields, define } = await buildFields(t)
  t.equal(await sendFields({ plan: 'gold', secret: 'x' }), 'Custom field secret is not allowed')
  t.equal(await sendFields({ plan: 'gold', topic: 'x' }), 'Custom field topic is not allowed')
  await sendFields({ plan: 'silver', note: 'n' })
  await define('plan', { visibility: 'hidden', required: true })
  await define('note', { scope: 'room', regexp: 'never' })
  const kept = { plan: 'silver', note: 'n', legacy }
  t.strictSame(await sendFields({}), kept, 'not sent: kept')
  t.strictSame(await sendFields({ plan: 'gold', note: [], legacy: {} }), kept, 'sent: ignored')
  await define('plan', { visibility: 'hide-from-nobody' })
  t.strictSame(await sendFields({ plan: 'gold' }), { plan: 'gold', note: 'n', legacy }, 'allowed again')
})

t.test('no customFields in the body: nothing is checked', async (t) => {
  const { update, db } = await buildFields(t)
  await db.exec("UPDATE omnichannel_contact SET custom_fields = '{}' WHERE id = 'maria'")
  for (const customFields of [undefined, null, '', 0, false]) {
    const reply = await update({ contactId: 'maria', phones: [], customFields })
    t.strictSame([reply.statusCode, reply.json().contact.customFields], [200, {}])
  }
})

t.test('labels and keys in error texts: copied without escaping', async (t) => {
  const { update, db } = await build(t)
  for (const label of ['<b>Plan & "co"</b>', '%s %d %%', '$&', '  ', 'Größe 🙂']) {
    await db.exec("UPDATE omnichannel_custom_field SET label = $1 WHERE id = 'plan'", label)
    t.strictSame((await update({ contactId: 'maria', customFields: {} })).json(), { success: false, error: `Invalid value for ${label} field` })
    t.strictSame((await update({ contactId: 'maria', customFields: { plan: 'gold', [label]: 1 } })).json(), {
      success: false, error: `Custom field ${label} is not allowed`
    })
  }
})
