import t from 'tap'
import { build, changes, rows } from '../build.js'

// test/contract.md, section 6: names that JavaScript objects have anyway, and patterns that are meant to hang or are none.

const names = ['__proto__', 'constructor', 'hasOwnProperty', 'prototype', 'toString', 'valueOf', '__defineGetter__', 'length', '0']

function own (key: string, value: unknown): Record<string, unknown> {
  return Object.fromEntries([[key, value]])
}

function entries (fields: object): unknown {
  return Object.entries(fields).sort()
}

void t.test('a name of every object, neither allowed nor stored: not allowed', async (t) => {
  const { update, database } = await build(t)
  const before = rows(database)
  for (const name of names) {
    const reply = await update({ contactId: 'maria', customFields: { plan: 'gold', ...own(name, 'x') } })
    t.equal(reply.statusCode, 400, name)
    t.strictSame(reply.json(), { success: false, error: `Custom field ${name} is not allowed` }, name)
  }
  t.strictSame(changes(before, rows(database)), {})
})

void t.test('a name of every object, allowed: a field like any other', async (t) => {
  for (const name of names) {
    await t.test(name, async (t) => {
      const { update, database } = await build(t)
      database.prepare("INSERT INTO omnichannel_custom_field (id, label, regexp) VALUES (?, '', '^[a-z]+$')").run(name)
      const store = async (fields: object): Promise<[status: number, answered: unknown, stored: unknown]> => {
        const reply = await update({ contactId: 'maria', customFields: { plan: 'gold', ...fields } })
        const text = database.prepare<[], string>("SELECT custom_fields FROM omnichannel_contact WHERE id = 'maria'").pluck().get()!
        const { contact, error } = reply.json()
        return [reply.statusCode, error ?? entries(contact.customFields), entries(JSON.parse(text))]
      }
      const withIt = entries({ plan: 'gold', legacy: 'kept', ...own(name, 'value') })
      const withoutIt = entries({ plan: 'gold', legacy: 'kept' })

      t.strictSame(await store({}), [200, withoutIt, withoutIt], 'absent: as any object has it, but this one has not')
      t.strictSame(await store(own(name, ' value ')), [200, withIt, withIt])
      t.strictSame(await store(own(name, 'VALUE')), [400, `Invalid value for ${name} field`, withIt])
      t.strictSame(await store(own(name, {})), [400, `Invalid value for ${name} field`, withIt])
      t.strictSame(await store({}), [200, withoutIt, withoutIt], 'left out: removed')

      database.prepare('UPDATE omnichannel_custom_field SET required = 1 WHERE id = ?').run(name)
      t.strictSame(await store({}), [400, `Invalid value for ${name} field`, withoutIt], 'required and absent')
      t.strictSame(await store(own(name, 'value')), [200, withIt, withIt])

      database.prepare('DELETE FROM omnichannel_custom_field WHERE id = ?').run(name)
      t.strictSame(await store({}), [200, withIt, withIt], 'definition gone, not sent: kept')
      t.strictSame(await store(own(name, 'other')), [200, withIt, withIt], 'definition gone, sent: ignored')
    })
  }
})

void t.test('nothing leaks into the prototype of other objects', async (t) => {
  const { post } = await build(t)
  await post('{"contactId":"maria","customFields":{"plan":"gold","__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}}')
  await post('{"contactId":"maria","__proto__":{"polluted":1}}')
  t.equal(({} as Record<string, unknown>)['polluted'], undefined)
})

void t.test('a pattern that would hang: answered all the same, and the next request too', async (t) => {
  const { update, database } = await build(t)
  const start = performance.now()
  for (const regexp of ['^(a+)+$', '^(a*)*$', '^(a|a)*$', '^(a|aa)+$', '^(.*a){25}$', '^(?=(a+)+$)a']) {
    database.prepare("UPDATE omnichannel_custom_field SET regexp = ? WHERE id = 'note'").run(regexp)
    const before = rows(database)
    const reply = await update({ contactId: 'maria', customFields: { plan: 'gold', note: 'a'.repeat(50_000) + '!' } })
    t.equal(reply.statusCode, 400, regexp)
    t.strictSame(reply.json(), { success: false, error: 'Invalid value for note field' }, regexp)
    t.strictSame(rows(database), before, regexp)
    t.equal((await update({ contactId: 'maria' })).statusCode, 200, `${regexp}: the next request`)
  }
  t.ok(performance.now() - start < 20_000, 'in seconds, not in years')

  database.exec("UPDATE omnichannel_custom_field SET regexp = '^(a+)+$' WHERE id = 'note'")
  t.equal((await update({ contactId: 'maria', customFields: { plan: 'gold', note: 'aaa' } })).statusCode, 200, 'where it fits, it fits')
})

void t.test('a pattern that does not compile: fails its field, is logged, and stops nothing else', async (t) => {
  for (const regexp of ['(', '[', '*', 'a{2,1}', '(?<a>x)(?<a>y)', '\\']) {
    const lines: string[] = []
    const { update, database } = await build(t, { server: { logger: { level: 'error', stream: { write: (line: string) => { lines.push(line) } } } } })
    database.prepare("UPDATE omnichannel_custom_field SET regexp = ? WHERE id = 'note'").run(regexp)
    const before = rows(database)
    const reply = await update({ contactId: 'maria', customFields: { plan: 'gold', note: 'x' } })
    t.equal(reply.statusCode, 400, regexp)
    t.strictSame(reply.json(), { success: false, error: 'Invalid value for note field' }, regexp)
    t.strictSame(rows(database), before, regexp)
    t.equal(lines.length, 1, `${regexp}: logged`)
    t.match(lines[0], /note/, `${regexp}: which field`)
    t.equal((await update({ contactId: 'maria', name: 'X' })).statusCode, 200, `${regexp}: without customFields`)
    t.equal((await update({ contactId: 'maria', customFields: { plan: 'silver' } })).statusCode, 200, `${regexp}: field left out`)
  }
})

void t.test('more patterns than are kept compiled: each still says what it says', async (t) => {
  const { update, database } = await build(t)
  const define = database.prepare('INSERT INTO omnichannel_custom_field (id, regexp) VALUES (?, ?)')
  const numbers = Array.from({ length: 1100 }, (_, number) => String(number))
  for (const number of numbers) define.run(`n${number}`, `^${number}$`)
  const customFields = Object.fromEntries(numbers.map((number) => [`n${number}`, number]))
  t.equal((await update({ contactId: 'maria', customFields: { plan: 'gold', ...customFields } })).statusCode, 200)
  t.equal((await update({ contactId: 'maria', customFields: { plan: 'gold', n1: '2' } })).json().error, 'Invalid value for n1 field')
})
