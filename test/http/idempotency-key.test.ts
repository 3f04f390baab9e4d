// An update with an idempotency key is made once, although its request is repeated (docs/contract.md, section 10).

import type Database from 'better-sqlite3'
import { allRows, as, build } from '../helpers/build.js'
import t from '../helpers/engines.js'
import { openHandle } from '../helpers/handle.js'
import { invalid } from '../helpers/refusals.js'

const ann = as('ann')
const key = (value: string, more: object = {}): Record<string, string> => ({ ...ann, 'idempotency-key': value, ...more })
const reused = { success: false, error: 'error-idempotency-key-reused' }
const unreadable = invalid('Invalid Idempotency-Key header')
const body = { contactId: 'maria', name: 'Marie', emails: ['a@b.c'], customFields: { plan: 'gold', note: 'x' } }

t.test('a repeated request: gets the stored answer byte for byte, writes nothing and calls no hook', async (t) => {
  let notified = 0
  let beforeCommits = 0
  const { update, db } = await build(t, { onContactUpdated: () => { notified++ }, beforeCommit: () => { beforeCommits++ } })
  const first = await update(body, key('k'))
  t.equal(first.headers['idempotency-replayed'], undefined)
  await db.exec("UPDATE omnichannel_contact SET name = 'Somebody else', version = 40 WHERE id = 'maria'")
  const before = await allRows(db)
  const again = await update(body, key('k'))
  t.strictSame([again.statusCode, again.body, again.headers.etag, again.headers['idempotency-replayed']], [200, first.body, '"2"', 'true'])
  t.equal(again.headers['content-type'], first.headers['content-type'])
  t.strictSame(await allRows(db), before)
  t.strictSame([notified, beforeCommits], [1, 1])
})

t.test('the same body in another form: a replay; another body or If-Match: 422', async (t) => {
  const { update, post, db } = await build(t)
  const first = await update({ contactId: 'maria', phones: ['1'], wipeConflicts: true, customFields: { plan: 'gold', note: 'x' } }, key('k'))
  t.equal(first.statusCode, 200)
  const before = await allRows(db)
  const same: Array<[string, Record<string, string>?]> = [
    ['{"contactId":"maria","phones":["1"],"wipeConflicts":true,"customFields":{"plan":"gold","note":"x"}}'],
    [' {"wipeConflicts":"true", "customFields":{"note":"x","plan":"gold"},"phones":[1],"contactId":"maria"}', key('"k"')]
  ]
  for (const [text, headers = key('k')] of same) t.strictSame([(await post(text, headers)).body], [first.body], text)
  const others: Array<[object, Record<string, string>?]> = [
    [{ contactId: 'maria', phones: ['1'], wipeConflicts: true, customFields: { plan: 'gold', note: 'y' } }],
    [{ contactId: 'maria', phones: ['1'], wipeConflicts: true }],
    [{ contactId: 'blank', phones: ['1'], wipeConflicts: true, customFields: { plan: 'gold', note: 'x' } }],
    [{ contactId: 'nobody' }],
    [{ contactId: 'maria', phones: ['1'], wipeConflicts: true, customFields: { plan: 'gold', note: 'x' } }, key('k', { 'if-match': '"1"' })],
    [{ contactId: 'maria', phones: ['1'], wipeConflicts: true, customFields: { plan: 'gold', note: 'x' } }, key('k', { 'if-match': '*' })]
  ]
  for (const [other, headers = key('k')] of others) {
    const reply = await update(other, headers)
    t.strictSame([reply.statusCode, reply.json(), reply.headers.etag], [422, reused, undefined])
  }
  t.strictSame(await allRows(db), before)
})

t.test('a replay with If-Match: the version is not compared again', async (t) => {
  const { update } = await build(t)
  const headers = key('k', { 'if-match': '"1"' })
  const first = await update(body, headers)
  t.equal(first.statusCode, 200)
  t.strictSame((await update(body, headers)).body, first.body)
  t.equal((await update(body, { ...headers, 'if-match': '"1","1"' })).statusCode, 422, 'another header, another request')
})

const keys: Record<string, boolean> = {
  k: true,
  '"k"': true,
  '"': true,
  '8e03978e-40d5-43dd-bc93-6894a57f9324': true,
  '!~#$%&\'*+-.^_`|': true,
  ['x'.repeat(255)]: true,
  [`"${'x'.repeat(255)}"`]: true,
  ['x'.repeat(256)]: false,
  [`"${'x'.repeat(256)}"`]: false,
  '': false,
  ' ': false,
  '""': false,
  'a b': false,
  'a\tb': false,
  'a, b': false,
  é: false,
  'a\x7f': false,
  'a\xa0': false
}

t.test('Idempotency-Key: stored without quotes, or 400 if it is invalid', async (t) => {
  const { update, db } = await build(t)
  for (const [value, isKey] of Object.entries(keys)) {
    await db.exec('DELETE FROM omnichannel_idempotency_key')
    const before = await allRows(db)
    const reply = await update({ contactId: 'maria', phones: ['1'] }, key(value))
    if (isKey) {
      t.equal(reply.statusCode, 200, value)
      t.equal((await update({ contactId: 'maria', phones: ['1'] }, key(value))).headers['idempotency-replayed'], 'true')
      t.equal(await db.value('SELECT key FROM omnichannel_idempotency_key'), value.replace(/^"(.+)"$/, '$1'))
    } else {
      t.strictSame([reply.statusCode, reply.json()], [400, unreadable], value)
      t.strictSame(await allRows(db), before)
    }
  }
})

t.test('one key of two users: two updates', async (t) => {
  const { update, db } = await build(t)
  t.equal((await update({ contactId: 'maria', name: 'Of Ann' }, key('k'))).json().contact.name, 'Of Ann')
  const reply = await update({ contactId: 'maria', name: 'Of Bob' }, key('k', as('bob')))
  t.strictSame([reply.statusCode, reply.json().contact.name, reply.headers['idempotency-replayed']], [200, 'Of Bob', undefined])
  t.strictSame(await db.column('SELECT user_id FROM omnichannel_idempotency_key ORDER BY 1'), ['ann', 'bob'])
})

t.test('a refused request: its key is not stored, so it can be sent again', async (t) => {
  let refuses = true
  const { update, db } = await build(t, { beforeCommit: () => { if (refuses) throw new Error('not now') } })
  const before = await allRows(db)
  const refused: Array<[object, number, object?]> = [
    [{ contactId: 'nobody' }, 400], [{ contactId: 'maria', name: '' }, 400], [{ contactId: 'maria', x: 1 }, 400],
    [body, 412, { 'if-match': '"9"' }], [body, 401, { 'x-auth-token': 'x' }], [body, 403, as('nick')], [body, 500]
  ]
  for (const [sent, status, more] of refused) t.equal((await update(sent, key('k', more))).statusCode, status)
  t.strictSame(await allRows(db), before)
  refuses = false
  t.equal((await update(body, key('k'))).statusCode, 200)
})

t.test('a caller who has lost the permission or the login: no replay', async (t) => {
  const { update, db } = await build(t)
  const first = await update(body, key('k'))
  await db.exec("DELETE FROM omnichannel_user_role WHERE user_id = 'ann'")
  t.equal((await update(body, key('k'))).statusCode, 403)
  await db.exec("INSERT INTO omnichannel_user_role VALUES ('ann', 'livechat-agent'); UPDATE omnichannel_user SET active = FALSE WHERE id = 'ann'")
  t.equal((await update(body, key('k'))).statusCode, 401)
  await db.exec("UPDATE omnichannel_user SET active = TRUE WHERE id = 'ann'; UPDATE omnichannel_contact SET enabled = FALSE")
  t.equal((await update(body, key('k'))).body, first.body, 'a replay does not read the contact')
})

t.test('a thousand requests at once with one key: one update, and the others get its answer', async (t) => {
  for (const journal of ['WAL', 'DELETE']) {
    const database = openHandle(`${t.testdir()}/contacts.db`)
    database.pragma(`journal_mode = ${journal}`)
    const { update, db } = await build(t, { database })
    const replies = await Promise.all(Array.from({ length: 1000 }, async () => await update(body, key('k'))))
    t.equal(new Set(replies.map((reply) => reply.body)).size, 1)
    t.equal(replies.filter((reply) => reply.headers['idempotency-replayed'] === undefined).length, 1)
    t.equal(await db.value("SELECT version FROM omnichannel_contact WHERE id = 'maria'"), 2)
  }
})

t.test('two servers on one file with one key: one update', async (t) => {
  const file = `${t.testdir()}/contacts.db`
  const open = (): Database.Database => {
    const database = openHandle(file)
    database.pragma('journal_mode = WAL')
    return database
  }
  const servers = [await build(t, { database: open() }), await build(t, { database: open() })]
  const replies = await Promise.all(Array.from({ length: 40 }, async (_, index) => await servers[index % 2]!.update(body, key('k'))))
  t.strictSame(new Set(replies.map((reply) => reply.body)), new Set([replies[0]!.body]))
  t.equal(await servers[0]!.db.value("SELECT version FROM omnichannel_contact WHERE id = 'maria'"), 2)
})

t.test('a key on a request that changes nothing: only the key is written', async (t) => {
  const { update, db } = await build(t)
  const before = await allRows(db)
  t.equal((await update({ contactId: 'maria' }, key('k'))).statusCode, 200)
  const { omnichannel_idempotency_key: keys, ...after } = await allRows(db)
  t.match(keys, [{ user_id: 'ann', key: 'k', contact_id: 'maria', version: 1 }])
  t.strictSame({ ...after, omnichannel_idempotency_key: [] }, before)
  await db.exec("UPDATE omnichannel_contact SET name = 'Later' WHERE id = 'maria'")
  t.equal((await update({ contactId: 'maria' }, key('k'))).json().contact.name, 'Maria')
})

t.test('keys: valid for the window; each later update with a key deletes a few expired ones', async (t) => {
  const { update, db } = await build(t, { idempotencyWindow: 60_000 })
  const age = async (seconds: number, where = 'true'): Promise<void> => {
    await db.exec(`UPDATE omnichannel_idempotency_key SET created_at = $1 WHERE ${where}`, new Date(Date.now() - seconds * 1000).toISOString())
  }
  const count = async (): Promise<unknown> => await db.value('SELECT count(*) FROM omnichannel_idempotency_key')
  const versionOf = async (): Promise<unknown> => (await update(body, key('k'))).headers.etag
  t.equal(await versionOf(), '"2"')
  await age(50)
  t.equal(await versionOf(), '"2"', 'still there')
  await age(70)
  t.equal(await versionOf(), '"3"', 'expired, so the update is made again')
  t.equal(await versionOf(), '"3"')
  await age(70)
  t.equal((await update({ contactId: 'maria' }, key('k'))).statusCode, 200, 'the key is free for another request')
  t.equal(await count(), 1)

  for (let index = 0; index < 50; index++) await update({ contactId: 'maria' }, key(`old-${index}`))
  await age(70)
  await update({ contactId: 'maria', name: 'Mary' })
  t.equal(await count(), 51, 'an update without a key deletes none')
  const counts = []
  for (let index = 0; index < 4; index++) {
    await update({ contactId: 'maria', name: 'Mia' }, key(`new-${index}`))
    counts.push(await count())
  }
  t.strictSame(counts, [32, 13, 3, 4])
})

t.test('idempotencyWindow by default: 24 hours', async (t) => {
  const { update, db } = await build(t)
  const [day, minute] = [24 * 60 * 60_000, 60_000]
  await update(body, key('k'))
  for (const [age, etag] of [[day - minute, '"2"'], [day + minute, '"3"']] as const) {
    await db.exec('UPDATE omnichannel_idempotency_key SET created_at = $1', new Date(Date.now() - age).toISOString())
    t.equal((await update(body, key('k'))).headers.etag, etag, `${age / minute} minutes`)
  }
})

t.test('a body nested too deeply to be compared: refused with a key, judged as usual without one', async (t) => {
  const { post, db } = await build(t)
  const before = await allRows(db)
  const deep = `{"contactId":"maria","customFields":{"plan":"gold","x":${'['.repeat(100_000)}${']'.repeat(100_000)}}}`
  t.strictSame((await post(deep, key('k'))).json(), invalid('The request body is nested too deeply'))
  t.strictSame((await post(deep)).json(), { success: false, error: 'Custom field x is not allowed' })
  t.strictSame(await allRows(db), before)
})

t.test('another value of a custom field: 422, or a replay if both are stored alike', async (t) => {
  // Numbers too large for JSON are stored as the texts Infinity and -Infinity.
  const values = ['1e400', '-1e400', 'null', '"x"', '0', '-0', '1e309', 'true', '"Infinity"', '"-Infinity"', '""', '9007199254740993', '9007199254740992']
  const pairs = ['1e400 1e309', '1e400 "Infinity"', '1e309 "Infinity"', '-1e400 "-Infinity"', '0 -0', '9007199254740993 9007199254740992']
  const alike = new Set(pairs.flatMap((pair) => [pair, pair.split(' ').reverse().join(' ')]))
  const { post, db } = await build(t)
  for (const one of values) {
    for (const other of values) {
      await db.exec('DELETE FROM omnichannel_idempotency_key')
      const text = (value: string): string => `{"contactId":"maria","customFields":{"plan":"gold","note":${value}}}`
      const first = await post(text(one), key('k'))
      t.equal(first.statusCode, 200, one)
      const before = await allRows(db)
      const second = await post(text(other), key('k'))
      const expected = one === other || alike.has(`${one} ${other}`) ? [200, first.json(), 'true'] : [422, reused, undefined]
      t.strictSame([second.statusCode, second.json(), second.headers['idempotency-replayed']], expected, `${one} ${other}`)
      t.strictSame(await allRows(db), before)
    }
  }
})

t.test('another phone: 422, or a replay if both are the same text after coercion', async (t) => {
  const { post, db } = await build(t)
  const phones = (value: string): string => `{"contactId":"maria","phones":[${value}]}`
  t.equal((await post(phones('1e400'), key('k'))).json().contact.phones[0].phoneNumber, 'Infinity')
  const before = await allRows(db)
  t.equal((await post(phones('"Infinity"'), key('k'))).headers['idempotency-replayed'], 'true', 'the same after coercion')
  for (const other of ['-1e400', 'null', '0']) t.equal((await post(phones(other), key('k'))).statusCode, 422, other)
  t.strictSame(await allRows(db), before)
})
