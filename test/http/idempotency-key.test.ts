// An update with an idempotency key is made once, although its request is repeated (docs/contract.md, section 10).

import type Database from 'better-sqlite3'
import { allRows, as, build } from '../helpers/test-server.js'
import type { Db } from '../helpers/database.js'
import t from '../helpers/engines.js'
import { openHandle } from '../helpers/open-handle.js'
import { invalid } from '../helpers/refusals.js'

const withKey = (key: string, headers: object = {}): Record<string, string> => ({ ...as('ann'), 'idempotency-key': key, ...headers })
const reused = { success: false, error: 'error-idempotency-key-reused' }
const invalidHeader = invalid('Invalid Idempotency-Key header')
const body = { contactId: 'maria', name: 'Marie', emails: ['a@b.c'], customFields: { plan: 'gold', note: 'x' } }

t.test('a repeated request: gets the stored answer byte for byte, writes nothing and calls no hook', async (t) => {
  let onContactUpdatedCalls = 0
  let beforeCommits = 0
  const { update, db } = await build(t, { onContactUpdated: () => { onContactUpdatedCalls++ }, beforeCommit: () => { beforeCommits++ } })
  const first = await update(body, withKey('k'))
  t.equal(first.headers['idempotency-replayed'], undefined)
  await db.exec("UPDATE omnichannel_contact SET name = 'Somebody else', version = 40 WHERE id = 'maria'")
  const before = await allRows(db)
  const again = await update(body, withKey('k'))
  t.strictSame([again.statusCode, again.body, again.headers.etag, again.headers['idempotency-replayed']], [200, first.body, '"2"', 'true'])
  t.equal(again.headers['content-type'], first.headers['content-type'])
  t.strictSame(await allRows(db), before)
  t.strictSame([onContactUpdatedCalls, beforeCommits], [1, 1])
})

const sentFirst = { contactId: 'maria', phones: ['1'], wipeConflicts: true, customFields: { plan: 'gold', note: 'x' } }

t.test('the same body in another form: a replay', async (t) => {
  const { update, post, db } = await build(t)
  const first = await update(sentFirst, withKey('k'))
  t.equal(first.statusCode, 200)
  const before = await allRows(db)
  const sameRequests: Array<[body: string, headers: Record<string, string>]> = [
    ['{"contactId":"maria","phones":["1"],"wipeConflicts":true,"customFields":{"plan":"gold","note":"x"}}', withKey('k')],
    [' {"wipeConflicts":"true", "customFields":{"note":"x","plan":"gold"},"phones":[1],"contactId":"maria"}', withKey('"k"')]
  ]
  for (const [body, headers] of sameRequests) t.equal((await post(body, headers)).body, first.body, body)
  t.strictSame(await allRows(db), before)
})

t.test('another body or If-Match with the same key: 422', async (t) => {
  const { update, db } = await build(t)
  t.equal((await update(sentFirst, withKey('k'))).statusCode, 200)
  const before = await allRows(db)
  const otherRequests: Array<[body: object, headers: Record<string, string>]> = [
    [{ ...sentFirst, customFields: { plan: 'gold', note: 'y' } }, withKey('k')],
    [{ ...sentFirst, customFields: undefined }, withKey('k')],
    [{ ...sentFirst, contactId: 'blank' }, withKey('k')],
    [{ contactId: 'nobody' }, withKey('k')],
    [sentFirst, withKey('k', { 'if-match': '"1"' })],
    [sentFirst, withKey('k', { 'if-match': '*' })]
  ]
  for (const [body, headers] of otherRequests) {
    const reply = await update(body, headers)
    t.strictSame([reply.statusCode, reply.json(), reply.headers.etag], [422, reused, undefined])
  }
  t.strictSame(await allRows(db), before)
})

t.test('a replay with If-Match: the version is not compared again', async (t) => {
  const { update } = await build(t)
  const headers = withKey('k', { 'if-match': '"1"' })
  const first = await update(body, headers)
  t.equal(first.statusCode, 200)
  t.strictSame((await update(body, headers)).body, first.body)
  t.equal((await update(body, { ...headers, 'if-match': '"1","1"' })).statusCode, 422, 'another header, another request')
})

/** Values of the header, and whether each is a valid key. */
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
  for (const [value, isValid] of Object.entries(keys)) {
    await db.exec('DELETE FROM omnichannel_idempotency_key')
    const before = await allRows(db)
    const reply = await update({ contactId: 'maria', phones: ['1'] }, withKey(value))
    if (isValid) {
      t.equal(reply.statusCode, 200, value)
      t.equal((await update({ contactId: 'maria', phones: ['1'] }, withKey(value))).headers['idempotency-replayed'], 'true')
      t.equal(await db.value('SELECT key FROM omnichannel_idempotency_key'), value.replace(/^"(.+)"$/, '$1'))
    } else {
      t.strictSame([reply.statusCode, reply.json()], [400, invalidHeader], value)
      t.strictSame(await allRows(db), before)
    }
  }
})

t.test('two users with the same key: two updates', async (t) => {
  const { update, db } = await build(t)
  t.equal((await update({ contactId: 'maria', name: 'Of Ann' }, withKey('k'))).json().contact.name, 'Of Ann')
  const reply = await update({ contactId: 'maria', name: 'Of Bob' }, withKey('k', as('bob')))
  t.strictSame([reply.statusCode, reply.json().contact.name, reply.headers['idempotency-replayed']], [200, 'Of Bob', undefined])
  t.strictSame(await db.column('SELECT user_id FROM omnichannel_idempotency_key ORDER BY 1'), ['ann', 'bob'])
})

t.test('a refused request: its key is not stored, so it can be sent again', async (t) => {
  let isFailing = true
  const { update, db } = await build(t, { beforeCommit: () => { if (isFailing) throw new Error('not now') } })
  const before = await allRows(db)
  const refusedRequests: Array<[status: number, body: object, headers?: object]> = [
    [400, { contactId: 'nobody' }],
    [400, { contactId: 'maria', name: '' }],
    [400, { contactId: 'maria', x: 1 }],
    [412, body, { 'if-match': '"9"' }],
    [401, body, { 'x-auth-token': 'x' }],
    [403, body, as('nick')],
    [500, body]
  ]
  for (const [status, body, headers] of refusedRequests) t.equal((await update(body, withKey('k', headers))).statusCode, status)
  t.strictSame(await allRows(db), before)
  isFailing = false
  t.equal((await update(body, withKey('k'))).statusCode, 200)
})

t.test('a caller without the permission, or no longer active: no replay', async (t) => {
  const { update, db } = await build(t)
  const first = await update(body, withKey('k'))
  await db.exec("DELETE FROM omnichannel_user_role WHERE user_id = 'ann'")
  t.equal((await update(body, withKey('k'))).statusCode, 403)
  await db.exec("INSERT INTO omnichannel_user_role VALUES ('ann', 'livechat-agent'); UPDATE omnichannel_user SET active = FALSE WHERE id = 'ann'")
  t.equal((await update(body, withKey('k'))).statusCode, 401)
  await db.exec("UPDATE omnichannel_user SET active = TRUE WHERE id = 'ann'; UPDATE omnichannel_contact SET enabled = FALSE")
  t.equal((await update(body, withKey('k'))).body, first.body, 'active again: the replay, although the contact is disabled')
})

t.test('a thousand requests at once with one key: one update, and the others get its answer', async (t) => {
  for (const journalMode of ['WAL', 'DELETE']) {
    const database = openHandle(`${t.testdir()}/contacts.db`)
    database.pragma(`journal_mode = ${journalMode}`)
    const { update, db } = await build(t, { database })
    const replies = await Promise.all(Array.from({ length: 1000 }, async () => await update(body, withKey('k'))))
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
  const replies = await Promise.all(Array.from({ length: 40 }, async (_, index) => await servers[index % 2]!.update(body, withKey('k'))))
  t.strictSame(new Set(replies.map((reply) => reply.body)), new Set([replies[0]!.body]))
  t.equal(await servers[0]!.db.value("SELECT version FROM omnichannel_contact WHERE id = 'maria'"), 2)
})

t.test('a key on a request that changes nothing: only the key is written', async (t) => {
  const { update, db } = await build(t)
  const before = await allRows(db)
  t.equal((await update({ contactId: 'maria' }, withKey('k'))).statusCode, 200)
  const { omnichannel_idempotency_key: keys, ...after } = await allRows(db)
  t.match(keys, [{ user_id: 'ann', key: 'k', contact_id: 'maria', version: 1 }])
  t.strictSame({ ...after, omnichannel_idempotency_key: [] }, before)
  await db.exec("UPDATE omnichannel_contact SET name = 'Later' WHERE id = 'maria'")
  t.equal((await update({ contactId: 'maria' }, withKey('k'))).json().contact.name, 'Maria')
})

const [second, minute, day] = [1000, 60_000, 24 * 60 * 60_000]

/** Makes all stored keys as old as this, in milliseconds. */
async function setAge (db: Db, age: number): Promise<void> {
  await db.exec('UPDATE omnichannel_idempotency_key SET created_at = $1', new Date(Date.now() - age).toISOString())
}

t.test('a key older than idempotencyWindow: the update is made again, and another request can use the key', async (t) => {
  const { update, db } = await build(t, { idempotencyWindow: minute })
  const sendAgain = async (): Promise<unknown> => (await update(body, withKey('k'))).headers.etag
  t.equal(await sendAgain(), '"2"')
  await setAge(db, 50 * second)
  t.equal(await sendAgain(), '"2"', 'a replay')
  await setAge(db, 70 * second)
  t.equal(await sendAgain(), '"3"', 'a new update')
  t.equal(await sendAgain(), '"3"', 'a replay of the new update')
  await setAge(db, 70 * second)
  t.equal((await update({ contactId: 'maria' }, withKey('k'))).statusCode, 200, 'another request')
  t.equal(await db.value('SELECT count(*) FROM omnichannel_idempotency_key'), 1)
})

t.test('expired keys: each later update with a key deletes at most twenty', async (t) => {
  const { update, db } = await build(t, { idempotencyWindow: minute })
  const countKeys = async (): Promise<unknown> => await db.value('SELECT count(*) FROM omnichannel_idempotency_key')
  for (let index = 0; index < 51; index++) await update({ contactId: 'maria' }, withKey(`old-${index}`))
  await setAge(db, 70 * second)
  await update({ contactId: 'maria', name: 'Mary' })
  t.equal(await countKeys(), 51, 'an update without a key deletes none')
  const counts = []
  for (let index = 0; index < 4; index++) {
    await update({ contactId: 'maria', name: 'Mia' }, withKey(`new-${index}`))
    counts.push(await countKeys())
  }
  t.strictSame(counts, [51 - 20 + 1, 51 - 40 + 2, 3, 4], 'each update adds its own key')
})

t.test('idempotencyWindow by default: 24 hours', async (t) => {
  const { update, db } = await build(t)
  await update(body, withKey('k'))
  for (const [age, etag] of [[day - minute, '"2"'], [day + minute, '"3"']] as const) {
    await setAge(db, age)
    t.equal((await update(body, withKey('k'))).headers.etag, etag, `${age / minute} minutes`)
  }
})

t.test('a body nested too deeply to be compared: refused if the request has a key, judged as usual if not', async (t) => {
  const { post, db } = await build(t)
  const before = await allRows(db)
  const deep = `{"contactId":"maria","customFields":{"plan":"gold","x":${'['.repeat(100_000)}${']'.repeat(100_000)}}}`
  t.strictSame((await post(deep, withKey('k'))).json(), invalid('The request body is nested too deeply'))
  t.strictSame((await post(deep)).json(), { success: false, error: 'Custom field x is not allowed' })
  t.strictSame(await allRows(db), before)
})

t.test('another value of a custom field: 422, or a replay if both are stored alike', async (t) => {
  // Numbers too large for JSON are stored as the texts Infinity and -Infinity.
  const values = ['1e400', '-1e400', 'null', '"x"', '0', '-0', '1e309', 'true', '"Infinity"', '"-Infinity"', '""', '9007199254740993', '9007199254740992']
  const groups = [['1e400', '1e309', '"Infinity"'], ['-1e400', '"-Infinity"'], ['0', '-0'], ['9007199254740993', '9007199254740992']]
  const areAlike = (one: string, other: string): boolean => one === other || groups.some((group) => group.includes(one) && group.includes(other))
  const bodyWith = (note: string): string => `{"contactId":"maria","customFields":{"plan":"gold","note":${note}}}`
  const { post, db } = await build(t)
  for (const one of values) {
    for (const other of values) {
      await db.exec('DELETE FROM omnichannel_idempotency_key')
      const first = await post(bodyWith(one), withKey('k'))
      t.equal(first.statusCode, 200, one)
      const before = await allRows(db)
      const second = await post(bodyWith(other), withKey('k'))
      const expected = areAlike(one, other) ? [200, first.json(), 'true'] : [422, reused, undefined]
      t.strictSame([second.statusCode, second.json(), second.headers['idempotency-replayed']], expected, `${one} ${other}`)
      t.strictSame(await allRows(db), before)
    }
  }
})

t.test('another phone: 422, or a replay if both are the same text after coercion', async (t) => {
  const { post, db } = await build(t)
  const bodyWith = (phone: string): string => `{"contactId":"maria","phones":[${phone}]}`
  t.equal((await post(bodyWith('1e400'), withKey('k'))).json().contact.phones[0].phoneNumber, 'Infinity')
  const before = await allRows(db)
  t.equal((await post(bodyWith('"Infinity"'), withKey('k'))).headers['idempotency-replayed'], 'true', 'the same after coercion')
  for (const other of ['-1e400', 'null', '0']) t.equal((await post(bodyWith(other), withKey('k'))).statusCode, 422, other)
  t.strictSame(await allRows(db), before)
})
