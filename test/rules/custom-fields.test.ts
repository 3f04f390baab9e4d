// docs/contract.md, section 6. `fill` defines plan (required, gold or silver) and note. maria has plan gold and legacy kept.

import type { Test } from 'tap'
import { allRows, build, changes, type Setup, type World } from '../helpers/build.js'
import t from '../helpers/engines.js'

type Fields = Record<string, unknown>
interface Definition { label: string, required: boolean, regexp: string, visibility: string, scope: string }
interface FieldsWorld extends World {
  /** Sends customFields for maria. Resolves to the stored fields, or to the error, after a check that nothing has changed. */
  set: (customFields: Fields) => Promise<unknown>
  define: (id: string, definition?: Partial<Definition>) => Promise<void>
}

async function buildFields (t: Test, setup?: Setup): Promise<FieldsWorld> {
  const world = await build(t, setup)
  const { db, update } = world
  const stored = async (): Promise<Fields> => JSON.parse(
    (await db.value<string>("SELECT custom_fields FROM omnichannel_contact WHERE id = 'maria'"))!)
  return {
    ...world,
    set: async (customFields) => {
      const before = await allRows(db)
      const reply = await update({ contactId: 'maria', customFields })
      if (reply.statusCode === 200) {
        t.strictSame(reply.json().contact.customFields, await stored(), 'the answer is what is stored')
        return await stored()
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
  const { set } = await buildFields(t)
  const stored = (note: unknown): Fields => ({ plan: 'gold', note, legacy })
  const without = { plan: 'gold', legacy }
  const scenarios: Array<[situation: string, note: unknown, expected: unknown]> = [
    ['a text', 'hello', stored('hello')],
    ['white space around', ' \u00A0\uFEFF\n hello  you\t', stored('hello  you')],
    ['0', 0, stored('0')],
    ['a number', -1.5e30, stored('-1.5e+30')],
    ['false', false, stored('false')],
    ['true', true, stored('true')],
    ['a NUL', 'a\u0000b', stored('a\u0000b')],
    ['null', null, without],
    ['empty', '', without],
    ['blank', ' \t\r\n\u2003', without],
    ['an object', {}, 'Invalid value for note field'],
    ['an array', [], 'Invalid value for note field'],
    ['an array of one text', ['x'], 'Invalid value for note field']
  ]
  for (const [situation, note, expected] of scenarios) {
    t.strictSame(await set({ plan: 'gold', note }), expected, situation)
  }
  await set({ plan: 'gold', note: 'x' })
  t.strictSame(await set({ plan: 'gold' }), without, 'an allowed field that is left out: removed')
})

t.test('a required field that is absent, null, empty or blank: an error', async (t) => {
  const { set } = await buildFields(t)
  for (const sent of [{}, { plan: null }, { plan: '' }, { plan: ' \n' }, { plan: [] }, { plan: {} }, { note: 'x' }]) {
    t.equal(await set(sent), 'Invalid value for Plan field', JSON.stringify(sent))
  }
})

t.test('{} without required fields: removes all registered values', async (t) => {
  const { set, define } = await buildFields(t)
  await define('plan')
  await set({ plan: 'x', note: 'y' })
  t.strictSame(await set({}), { legacy })
})

t.test('patterns: tested without flags, unanchored, on the trimmed text', async (t) => {
  const { set, define } = await buildFields(t)
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
    const expected = fits ? { ...String(value).trim() !== '' && { note: String(value).trim() }, legacy } : 'Invalid value for Note field'
    t.strictSame(await set({ note: value }), expected, `${regexp} on ${JSON.stringify(value)}`)
  }
})

t.test('several errors: definitions in the order of insertion first, then unknown keys in the order of the body', async (t) => {
  const { set, define } = await buildFields(t)
  await define('a', { label: 'A', regexp: '^x$' })
  const scenarios: Array<[sent: Fields, error: string]> = [
    [{ zzz: 1, a: 'y', note: {}, plan: '' }, 'Invalid value for Plan field'],
    [{ zzz: 1, a: 'y', note: {}, plan: 'gold' }, 'Invalid value for note field'],
    [{ zzz: 1, a: 'y', plan: 'gold' }, 'Invalid value for A field'],
    [{ zzz: 1, aaa: null, a: 'x', plan: 'gold' }, 'Custom field zzz is not allowed'],
    [{ plan: 'gold', '': 1 }, 'Custom field  is not allowed']
  ]
  for (const [sent, error] of scenarios) t.equal(await set(sent), error)
})

t.test('hidden fields and fields of rooms: not allowed, and their stored values are kept', async (t) => {
  const { set, define } = await buildFields(t)
  t.equal(await set({ plan: 'gold', secret: 'x' }), 'Custom field secret is not allowed')
  t.equal(await set({ plan: 'gold', topic: 'x' }), 'Custom field topic is not allowed')
  await set({ plan: 'silver', note: 'n' })
  await define('plan', { visibility: 'hidden', required: true })
  await define('note', { scope: 'room', regexp: 'never' })
  const kept = { plan: 'silver', note: 'n', legacy }
  t.strictSame(await set({}), kept, 'not sent: kept')
  t.strictSame(await set({ plan: 'gold', note: [], legacy: {} }), kept, 'sent: ignored')
  await define('plan', { visibility: 'hide-from-nobody' })
  t.strictSame(await set({ plan: 'gold' }), { plan: 'gold', note: 'n', legacy }, 'allowed again')
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
