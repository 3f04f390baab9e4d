// docs/contract.md, section 6: fields named like inherited properties, and patterns that hang or do not compile.

import { allRows, build, changes } from '../helpers/test-server.js'
import t from '../helpers/engines.js'
import { openHandle } from '../helpers/open-handle.js'
import { observe } from '../helpers/observed-server.js'

const inheritedNames = ['__proto__', 'constructor', 'hasOwnProperty', 'prototype', 'toString', 'valueOf', '__defineGetter__', 'length', '0']

/** An object with one own property, also if its key is `__proto__`. */
function objectWith (key: string, value: unknown): Record<string, unknown> {
  return Object.fromEntries([[key, value]])
}

/** Tests compare entries, because a comparison of objects may overlook an own property `__proto__`. */
function sortedEntries (fields: object): unknown {
  return Object.entries(fields).sort()
}

t.test('the name of an inherited property, neither defined nor stored: not allowed', async (t) => {
  const { update, db } = await build(t)
  const before = await allRows(db)
  for (const name of inheritedNames) {
    const reply = await update({ contactId: 'maria', customFields: { plan: 'gold', ...objectWith(name, 'x') } })
    t.strictSame([reply.statusCode, reply.json()], [400, { success: false, error: `Custom field ${name} is not allowed` }], name)
  }
  t.strictSame(changes(before, await allRows(db)), {})
})

t.test('the name of an inherited property, defined: a field like any other', async (t) => {
  for (const name of inheritedNames) {
    await t.test(name, async (t) => {
      const { update, db } = await build(t)
      await db.exec("INSERT INTO omnichannel_custom_field (id, label, regexp) VALUES ($1, '', '^[a-z]+$')", name)
      /** Sends fields of maria. Resolves to the status, the error or the fields of the answer, and the stored fields. */
      const send = async (fields: object): Promise<[status: number, answered: unknown, stored: unknown]> => {
        const reply = await update({ contactId: 'maria', customFields: { plan: 'gold', ...fields } })
        const text = (await db.value<string>("SELECT custom_fields FROM omnichannel_contact WHERE id = 'maria'"))!
        const { contact, error } = reply.json()
        return [reply.statusCode, error ?? sortedEntries(contact.customFields), sortedEntries(JSON.parse(text))]
      }
      const present = sortedEntries({ plan: 'gold', legacy: 'kept', ...objectWith(name, 'value') })
      const absent = sortedEntries({ plan: 'gold', legacy: 'kept' })

      t.strictSame(await send({}), [200, absent, absent], 'not sent, although every object inherits it: absent')
      t.strictSame(await send(objectWith(name, ' value ')), [200, present, present])
      t.strictSame(await send(objectWith(name, 'VALUE')), [400, `Invalid value for ${name} field`, present])
      t.strictSame(await send(objectWith(name, {})), [400, `Invalid value for ${name} field`, present])
      t.strictSame(await send({}), [200, absent, absent], 'no longer sent: removed')

      await db.exec('UPDATE omnichannel_custom_field SET required = TRUE WHERE id = $1', name)
      t.strictSame(await send({}), [400, `Invalid value for ${name} field`, absent], 'required and not sent: refused')
      t.strictSame(await send(objectWith(name, 'value')), [200, present, present])

      await db.exec('DELETE FROM omnichannel_custom_field WHERE id = $1', name)
      t.strictSame(await send({}), [200, present, present], 'its definition is deleted, not sent: kept')
      t.strictSame(await send(objectWith(name, 'other')), [200, present, present], 'its definition is deleted, sent: ignored')
    })
  }
})

t.test('the keys __proto__ and constructor: no property is added to the prototype of objects', async (t) => {
  const { post } = await build(t)
  await post('{"contactId":"maria","customFields":{"plan":"gold","__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}}')
  await post('{"contactId":"maria","__proto__":{"polluted":1}}')
  t.equal(({} as Record<string, unknown>).polluted, undefined)
})

t.test('a pattern that would hang: 400, and the next request is answered', async (t) => {
  const { update, db } = await build(t)
  const start = performance.now()
  for (const regexp of ['^(a+)+$', '^(a*)*$', '^(a|a)*$', '^(a|aa)+$', '^(.*a){25}$', '^(?=(a+)+$)a']) {
    await db.exec("UPDATE omnichannel_custom_field SET regexp = $1 WHERE id = 'note'", regexp)
    const before = await allRows(db)
    const reply = await update({ contactId: 'maria', customFields: { plan: 'gold', note: 'a'.repeat(50_000) + '!' } })
    t.strictSame([reply.statusCode, reply.json()], [400, { success: false, error: 'Invalid value for note field' }], regexp)
    t.strictSame(await allRows(db), before, regexp)
    t.equal((await update({ contactId: 'maria' })).statusCode, 200, `${regexp}: the next request`)
  }
  t.ok(performance.now() - start < 20_000, 'within 20 seconds')

  await db.exec("UPDATE omnichannel_custom_field SET regexp = '^(a+)+$' WHERE id = 'note'")
  t.equal((await update({ contactId: 'maria', customFields: { plan: 'gold', note: 'aaa' } })).statusCode, 200, 'a text that matches')
})

t.test('a pattern that does not compile: 400 for its field, logged once with the reason, and other updates work', async (t) => {
  const { update, db, warnings } = await observe(t)
  await db.exec("UPDATE omnichannel_custom_field SET regexp = '(' WHERE id = 'note'")
  const before = await allRows(db)
  const reply = await update({ contactId: 'maria', customFields: { plan: 'gold', note: 'x' } })
  t.strictSame([reply.statusCode, reply.json()], [400, { success: false, error: 'Invalid value for note field' }])
  t.strictSame(await allRows(db), before)
  t.match(warnings(), [{ customField: 'note', msg: /\/\(\/: Unterminated group$/ }])
  t.equal((await update({ contactId: 'maria', name: 'X' })).statusCode, 200, 'without customFields')
  t.equal((await update({ contactId: 'maria', customFields: { plan: 'silver' } })).statusCode, 200, 'without this field')
})

t.test('many slow patterns in one request: take less than a second together, and the first is logged after the transaction', async (t) => {
  const file = `${t.testdir()}/contacts.db`
  const database = openHandle(file)
  database.exec('CREATE TABLE log (line TEXT)')
  // The host writes its log into the same database, through the same handle.
  const insert = database.prepare('INSERT INTO log VALUES (?)')
  const { update, db } = await build(t, {
    database, server: { logger: { level: 'error', stream: { write: (line: string) => { insert.run(line) } } } }
  })
  const ids = Array.from({ length: 40 }, (_, index) => `slow-${index}`)
  for (const id of ids) await db.exec('INSERT INTO omnichannel_custom_field (id, regexp) VALUES ($1, $2)', id, `^(?:[\\w.]+[-_ ]?)+${id}$`)
  const customFields = Object.fromEntries(ids.map((id) => [id, `${'a'.repeat(40)}!`]))
  const before = await allRows(db)
  const cpuUsageBefore = process.cpuUsage()
  const reply = await update({ contactId: 'maria', customFields: { plan: 'gold', ...customFields } })
  const { user, system } = process.cpuUsage(cpuUsageBefore)
  t.strictSame([reply.statusCode, reply.json().error], [400, 'Invalid value for slow-0 field'])
  t.ok(user + system < 1_000_000, 'less than a million microseconds of processor time')
  t.strictSame(await allRows(db), before)
  t.match((await db.column<string>('SELECT line FROM log')).map((line) => JSON.parse(line)), [
    { level: 50, customField: 'slow-0', reqId: 'req-1' }
  ])
})

t.test('stored values without a definition: kept character for character', async (t) => {
  const stored = '{"big": 12345678901234567890,"huge":1e400, "odd" : [1.0, {"a\\"}":-0}] ,"\\u0061":1,"a":2.50,"__proto__":{"x":1E+2},"plan":"gold","":"\\/"}'
  // Without blanks around the members, without the first of two equal keys, and without the field that is sent.
  const kept = '"big":12345678901234567890,"huge":1e400,"odd":[1.0, {"a\\"}":-0}],"a":2.50,"__proto__":{"x":1E+2},"":"\\/"'
  const { update, db } = await build(t)
  const read = async () => await db.value<string>("SELECT custom_fields FROM omnichannel_contact WHERE id = 'maria'")
  await db.exec("UPDATE omnichannel_contact SET custom_fields = $1 WHERE id = 'maria'", stored)
  t.equal((await update({ contactId: 'maria', customFields: { plan: 'silver', note: 'n', big: 1 } })).statusCode, 200)
  t.equal(await read(), `{"plan":"silver","note":"n",${kept}}`)
  t.equal((await update({ contactId: 'maria', customFields: { plan: 'gold' } })).statusCode, 200)
  t.equal(await read(), `{"plan":"gold",${kept}}`)
  await db.exec("UPDATE omnichannel_contact SET custom_fields = '{ }' WHERE id = 'maria'")
  t.equal((await update({ contactId: 'maria', customFields: { plan: 'gold' } })).statusCode, 200)
  t.equal(await read(), '{"plan":"gold"}')
})
