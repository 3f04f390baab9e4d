// Entity tags: a client that has not seen the latest version cannot update (docs/contract.md, section 10).

import { allRows, as, build } from '../helpers/test-server.js'
import t from '../helpers/engines.js'
import { forbidden, invalid, unauthorized } from '../helpers/refusals.js'

const mismatch = { success: false, error: 'error-contact-version-mismatch' }
const invalidHeader = invalid('Invalid If-Match header')
const ann = as('ann')

t.test('ETag: each 200 has the version of its contact, and a 400 has none', async (t) => {
  const { update, db } = await build(t)
  await db.exec("UPDATE omnichannel_contact SET version = 7 WHERE id = 'maria'")
  const statusAndTag = async (body: object): Promise<[status: number, etag: unknown]> => {
    const reply = await update(body)
    return [reply.statusCode, reply.headers.etag]
  }
  t.strictSame(await statusAndTag({ contactId: 'maria' }), [200, '"7"'], 'reading')
  t.strictSame(await statusAndTag({ contactId: 'maria', name: 'Marie' }), [200, '"8"'])
  t.strictSame(await statusAndTag({ contactId: 'maria', name: 'Marie' }), [200, '"9"'], 'a value that is stored already is an update too')
  t.strictSame(await statusAndTag({ contactId: 'maria', name: '' }), [400, undefined])
  t.strictSame(await statusAndTag({ contactId: 'nobody' }), [400, undefined])
  t.strictSame(await statusAndTag({}), [400, undefined])
  t.equal(await db.value("SELECT version FROM omnichannel_contact WHERE id = 'maria'"), 9)
})

/** The values of If-Match, for a contact of version 7. */
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
  '""': 'stale',
  'W/"7"': 'stale',
  '"5", W/"7"': 'stale',
  '"5,7"': 'stale',
  '"*"': 'stale',
  7: 'invalid',
  '" 7"': 'invalid',
  '"7 "': 'invalid',
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

t.test('If-Match: 200 if a tag matches, 412 if none does, 400 if the header is invalid', async (t) => {
  for (const [header, outcome] of Object.entries(scenarios)) {
    const { update, db } = await build(t)
    await db.exec("UPDATE omnichannel_contact SET version = 7 WHERE id = 'maria'")
    const before = await allRows(db)
    const reply = await update({ contactId: 'maria', name: 'Marie' }, { ...ann, 'if-match': header })
    if (outcome === 'passes') {
      t.strictSame([reply.statusCode, reply.headers.etag, reply.json().contact.name], [200, '"8"', 'Marie'], header)
    } else {
      const [status, body, etag] = outcome === 'stale' ? [412, mismatch, '"7"'] : [400, invalidHeader, undefined]
      t.strictSame([reply.statusCode, reply.json(), reply.headers.etag], [status, body, etag], JSON.stringify(header))
      t.strictSame(await allRows(db), before)
    }
  }
})

t.test('If-Match: checked after access, body and contact, and before the rules', async (t) => {
  const { update, db } = await build(t)
  const before = await allRows(db)
  const withStaleTag = { ...ann, 'if-match': '"99"' }
  const withInvalidHeader = { ...ann, 'if-match': 'x' }
  const statusAndError = async (body: object, headers: Record<string, string>): Promise<[status: number, error: string]> => {
    const reply = await update(body, headers)
    return [reply.statusCode, reply.json().error]
  }
  t.strictSame(await statusAndError({ contactId: 'nobody' }, withStaleTag), [400, 'error-contact-not-found'])
  t.strictSame(await statusAndError({ contactId: 'nobody' }, { ...ann, 'if-match': '*' }), [400, 'error-contact-not-found'])
  t.strictSame(await statusAndError({ contactId: 'gone' }, withStaleTag), [400, 'error-contact-not-found'])
  t.strictSame(await statusAndError({ contactId: 'maria', name: '', contactManager: 'nobody', customFields: { x: 1 } }, withStaleTag), [412, mismatch.error])
  t.strictSame(await statusAndError({ contactId: 'maria' }, withStaleTag), [412, mismatch.error], 'reading as well')
  t.strictSame(await statusAndError({}, withInvalidHeader), [400, "must have required property 'contactId' [invalid-params]"])
  t.strictSame(await statusAndError({ contactId: 'maria' }, { ...withInvalidHeader, 'x-auth-token': 'x' }), [401, unauthorized.error])
  t.strictSame(await statusAndError({ contactId: 'maria' }, { ...withInvalidHeader, ...as('nick') }), [403, forbidden.error])
  t.strictSame(await allRows(db), before)
})

t.test('a thousand clients with one tag: one gets 200, the others 412 with the new tag', async (t) => {
  const { update, db } = await build(t, { lockTimeout: 60_000 })
  const replies = await Promise.all(Array.from({ length: 1000 }, async (_, index) =>
    await update({ contactId: 'maria', name: `Name ${index}` }, { ...ann, 'if-match': '"1"' })))
  const winners = replies.filter((reply) => reply.statusCode === 200)
  t.equal(winners.length, 1)
  t.strictSame(new Set(replies.map((reply) => `${reply.statusCode} ${reply.headers.etag}`)), new Set(['200 "2"', '412 "2"']))
  t.match(await db.row("SELECT name, version FROM omnichannel_contact WHERE id = 'maria'"), { name: winners[0]!.json().contact.name, version: 2 })
})
