// Entity tags: a client that has not seen the latest version cannot update (docs/contract.md, section 10).

import { allRows, as, build } from '../helpers/build.js'
import t from '../helpers/engines.js'
import { forbidden, invalid, unauthorized } from '../helpers/refusals.js'

const mismatch = { success: false, error: 'error-contact-version-mismatch' }
const unreadable = invalid('Invalid If-Match header')
const ann = as('ann')

t.test('ETag: each 200 has the version of its contact, and a 400 has none', async (t) => {
  const { update, db } = await build(t)
  await db.exec("UPDATE omnichannel_contact SET version = 7 WHERE id = 'maria'")
  const tag = async (body: object): Promise<unknown> => {
    const reply = await update(body)
    return [reply.statusCode, reply.headers.etag]
  }
  t.strictSame(await tag({ contactId: 'maria' }), [200, '"7"'], 'reading')
  t.strictSame(await tag({ contactId: 'maria', name: 'Marie' }), [200, '"8"'])
  t.strictSame(await tag({ contactId: 'maria', name: 'Marie' }), [200, '"9"'], 'a value that is stored already is an update too')
  t.strictSame(await tag({ contactId: 'maria', name: '' }), [400, undefined])
  t.strictSame(await tag({ contactId: 'nobody' }), [400, undefined])
  t.strictSame(await tag({}), [400, undefined])
  t.equal(await db.value("SELECT version FROM omnichannel_contact WHERE id = 'maria'"), 9)
})

const stored = 7
const scenarios: Record<string, 'passes' | 'stale' | 'invalid'> = {
  '*': 'passes',
  ' * ': 'passes',
  '"7"': 'passes',
  '"5", "7"': 'passes',
  '"7","5"': 'passes',
  'W/"5" ,\t"7"': 'passes',
  ', ,"7",,': 'passes',
  '"a,b", "7"': 'passes',
  '"\xe9", "7"': 'passes',
  '"6"': 'stale',
  '"8"': 'stale',
  '"07"': 'stale',
  '" 7"': 'invalid',
  '"7 "': 'invalid',
  '""': 'stale',
  'W/"7"': 'stale',
  '"5", W/"7"': 'stale',
  '"5,7"': 'stale',
  '"*"': 'stale',
  7: 'invalid',
  '"7': 'invalid',
  '7"': 'invalid',
  "'7'": 'invalid',
  'w/"7"': 'invalid',
  'W/ "7"': 'invalid',
  '"5" "7"': 'invalid',
  '"5""7"': 'invalid',
  '*, "7"': 'invalid',
  '"7", *': 'invalid',
  '**': 'invalid',
  '"7"; "5"': 'invalid',
  '"\x7f"': 'invalid',
  '': 'invalid',
  ' ': 'invalid',
  ',': 'invalid'
}

t.test('If-Match: the update is made, or 412, or 400', async (t) => {
  for (const [header, outcome] of Object.entries(scenarios)) {
    const { update, db } = await build(t)
    await db.exec(`UPDATE omnichannel_contact SET version = ${stored} WHERE id = 'maria'`)
    const before = await allRows(db)
    const reply = await update({ contactId: 'maria', name: 'Marie' }, { ...ann, 'if-match': header })
    if (outcome === 'passes') {
      t.strictSame([reply.statusCode, reply.headers.etag, reply.json().contact.name], [200, '"8"', 'Marie'], header)
    } else {
      const [status, body, etag] = outcome === 'stale' ? [412, mismatch, '"7"'] : [400, unreadable, undefined]
      t.strictSame([reply.statusCode, reply.json(), reply.headers.etag], [status, body, etag], JSON.stringify(header))
      t.strictSame(await allRows(db), before)
    }
  }
})

t.test('If-Match: checked after body and contact, before everything else', async (t) => {
  const { update, db } = await build(t)
  const before = await allRows(db)
  const stale = { ...ann, 'if-match': '"99"' }
  const broken = { ...ann, 'if-match': 'x' }
  const failed = async (body: object, headers: Record<string, string>): Promise<unknown> => {
    const reply = await update(body, headers)
    return [reply.statusCode, reply.json().error]
  }
  t.strictSame(await failed({ contactId: 'nobody' }, stale), [400, 'error-contact-not-found'])
  t.strictSame(await failed({ contactId: 'nobody' }, { ...ann, 'if-match': '*' }), [400, 'error-contact-not-found'])
  t.strictSame(await failed({ contactId: 'gone' }, stale), [400, 'error-contact-not-found'])
  t.strictSame(await failed({ contactId: 'maria', name: '', contactManager: 'nobody', customFields: { x: 1 } }, stale), [412, mismatch.error])
  t.strictSame(await failed({ contactId: 'maria' }, stale), [412, mismatch.error], 'reading as well')
  t.strictSame(await failed({}, broken), [400, "must have required property 'contactId' [invalid-params]"])
  t.strictSame(await failed({ contactId: 'maria' }, { ...broken, 'x-auth-token': 'x' }), [401, unauthorized.error])
  t.strictSame(await failed({ contactId: 'maria' }, { ...broken, ...as('nick') }), [403, forbidden.error])
  t.strictSame(await allRows(db), before)
})

t.test('a thousand clients with one tag: one gets 200, the others 412 with the new tag', async (t) => {
  const { update, db } = await build(t)
  const replies = await Promise.all(Array.from({ length: 1000 }, async (_, index) =>
    await update({ contactId: 'maria', name: `Name ${index}` }, { ...ann, 'if-match': '"1"' })))
  const winners = replies.filter((reply) => reply.statusCode === 200)
  t.equal(winners.length, 1)
  t.strictSame(new Set(replies.map((reply) => `${reply.statusCode} ${reply.headers.etag}`)), new Set(['200 "2"', '412 "2"']))
  t.match(await db.row("SELECT name, version FROM omnichannel_contact WHERE id = 'maria'"), { name: winners[0]!.json().contact.name, version: 2 })
})
