// docs/contract.md, section 1: the bytes of a body.

import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync, createGunzip } from 'node:zlib'
import type { preParsingHookHandler } from 'fastify'
import { allRows, as, build, changes } from '../helpers/test-server.js'
import t from '../helpers/engines.js'
import { invalid } from '../helpers/refusals.js'

const json = { 'content-type': 'application/json' }
const form = { 'content-type': 'application/x-www-form-urlencoded' }
const notUtf8 = invalid('The request body is not valid UTF-8')
const unreadable = invalid('The request body could not be read')
const compressed = invalid('The content encoding is not supported: send the body uncompressed')

/** The text as UTF-8, in which `<f6>` stands for the byte F6, and `<c3 bc>` for two bytes. */
function bytes (text: string): Buffer {
  const parts = text.split(/(<[\da-f ]+>)/)
  return Buffer.concat(parts.map((part) => part.startsWith('<') ? Buffer.from(part.replace(/[< >]/g, ''), 'hex') : Buffer.from(part)))
}

t.test('a single byte from 80 to FF: 400, in JSON and in a form, raw or escaped', async (t) => {
  const { post, db } = await build(t)
  const before = await allRows(db)
  for (let byte = 0x80; byte <= 0xff; byte++) {
    const hex = byte.toString(16)
    for (const [body, headers] of [
      [`{"contactId":"maria","name":"M<${hex}>ller"}`, json],
      [`contactId=maria&name=M<${hex}>ller`, form],
      [`contactId=maria&name=M%${hex}ller`, form],
      [`contactId=maria&name=M%${hex.toUpperCase()}ller`, form]
    ] as const) {
      const reply = await post(bytes(body), headers)
      t.strictSame([reply.statusCode, reply.json()], [400, notUtf8], body)
    }
  }
  t.strictSame(await allRows(db), before)
})

t.test('bytes that are not UTF-8: 400 at any position and with any charset, and nothing is written', async (t) => {
  const { post, db } = await build(t)
  const before = await allRows(db)
  const charset = (name: string): object => ({ 'content-type': `application/json; charset=${name}` })
  const name = (text: string): string => `{"contactId":"maria","name":"${text}"}`
  const scenarios: Array<[situation: string, body: string, headers?: object]> = [
    ['a character that ends after its first byte', name('<c3>')],
    ['a character that ends after its second byte', name('<e2 82>')],
    ['a character that ends after its third byte', name('<f0 9f 98>x')],
    ['an overlong encoding', name('<c0 af>')],
    ['an overlong encoding of three bytes', name('<e0 80 af>')],
    ['a surrogate', name('<ed a0 80>')],
    ['a pair of surrogates (CESU-8)', name('<ed a0 bd ed b8 80>')],
    ['a code point above U+10FFFF', name('<f4 90 80 80>')],
    ['Shift JIS', name('<93 fa 96 7b>')],
    ['UTF-16 with a byte order mark', '<ff fe 7b 00 7d 00>'],
    ['UTF-16 in big-endian order', '<fe ff 00 7b 00 7d>', charset('utf-16')],
    ['latin-1 with its own charset', name('M<fc>ller'), charset('iso-8859-1')],
    ['latin-1 with the charset UTF-8', name('M<fc>ller'), charset('utf-8')],
    ['latin-1 with an unknown charset', name('M<fc>ller'), charset('x')],
    ['in contactId', '{"contactId":"<f6>"}'],
    ['in a list', '{"contactId":"maria","emails":["<f6>@b"]}'],
    ['in a custom field', '{"contactId":"maria","customFields":{"plan":"<f6>"}}'],
    ['in the key of a custom field', '{"contactId":"maria","customFields":{"<f6>":"x"}}'],
    ['in an unknown key', '{"contactId":"maria","<f6>":1}'],
    ['in invalid JSON', '{<f6>'],
    ['before the object', '<f6>{"contactId":"maria"}'],
    ['after the object', '{"contactId":"maria"}<f6>'],
    ['alone', '<f6>'],
    ['half a byte order mark', '<ef bb>{"contactId":"maria"}'],
    ['gzip without Content-Encoding', `<${gzipSync('{}').toString('hex')}>`],
    ['a form: a key', 'contactId=maria&<f6>=x', form],
    ['a form: an escaped key', 'contactId=maria&%F6=x', form],
    ['a form: a value that a later one replaces', 'contactId=maria&name=%F6&name=x', form],
    ['a form: half a character as it is, half escaped', 'contactId=maria&name=%C3<bc>', form],
    ['a form: two halves in two values', 'contactId=maria&name=%C3&contactManager=%BC', form],
    ['a form: two halves with a blank between', 'contactId=maria&name=%C3+%BC', form],
    ['a form: an escaped surrogate', 'contactId=maria&name=%ED%A0%80', form],
    ['a form: latin-1 with its own charset', 'contactId=maria&name=M<fc>ller', { 'content-type': `${form['content-type']}; charset=iso-8859-1` }]
  ]
  for (const [situation, body, headers = json] of scenarios) {
    const reply = await post(bytes(body), { ...headers })
    t.strictSame([reply.statusCode, reply.json()], [400, notUtf8], situation)
    t.strictSame(await allRows(db), before, `${situation}: nothing changed`)
  }
})

t.test('UTF-8: stored as sent, with any charset', async (t) => {
  const { post } = await build(t)
  const name = (text: string): string => `{"contactId":"maria","name":"${text}"}`
  const latin = (type: string): Record<string, string> => ({ 'content-type': `${type}; charset=ISO-8859-1` })
  const scenarios: Array<[situation: string, body: string, headers: Record<string, string>, stored: string]> = [
    ['one byte', name('Maria'), json, 'Maria'],
    ['two bytes', name('Jürgen'), json, 'Jürgen'],
    ['three bytes', name('日本'), json, '日本'],
    ['four bytes', name('😀'), json, '😀'],
    ['the highest code point', name('<f4 8f bf bf>'), json, '\u{10FFFF}'],
    ['a noncharacter', name('<ef bf bf>'), json, '\uFFFF'],
    ['U+FFFD itself', name('<ef bf bd>'), json, '\uFFFD'],
    ['a byte order mark before it', `<ef bb bf>${name('Jürgen')}`, json, 'Jürgen'],
    ['a byte order mark in a value', name('<ef bb bf>x'), json, '\uFEFFx'],
    ['a charset', name('Jürgen'), latin('application/json'), 'Jürgen'],
    ['a form', 'contactId=maria&name=Jürgen', form, 'Jürgen'],
    ['a form with a charset', 'contactId=maria&name=Jürgen', latin('application/x-www-form-urlencoded'), 'Jürgen'],
    ['a form with escapes of either case', 'contactId=maria&name=J%c3%BCrgen+%F0%9f%98%80', form, 'Jürgen 😀'],
    ['a form: U+FFFD itself', 'contactId=maria&name=%EF%BF%BD', form, '\uFFFD'],
    ['a form: a percent sign that is no escape', 'contactId=maria&name=%+%zz%4%', form, '% %zz%4%'],
    ['a form: a percent sign beside characters of several bytes', 'contactId=maria&name=100% %C5%82 😀', form, '100% ł 😀'],
    ['a form: an escaped percent sign', 'contactId=maria&name=%25F6', form, '%F6'],
    ['a form: plus and blank', 'contactId=maria&name=a%2Bb+c%20d', form, 'a+b c d'],
    ['a form: an escape as in JSON, which is plain text here', 'contactId=maria&name=\\ud800', form, '\\ud800']
  ]
  for (const [situation, body, headers, stored] of scenarios) {
    const reply = await post(bytes(body), headers)
    t.strictSame([reply.statusCode, reply.json().contact?.name], [200, stored], situation)
  }
})

t.test('two latin-1 bodies with one Idempotency-Key: both are refused, and the key stays unused', async (t) => {
  const { post, db } = await build(t)
  const keyed = { 'idempotency-key': 'k' }
  const before = await allRows(db)
  for (const byte of ['f6', 'fc']) {
    const reply = await post(bytes(`{"contactId":"maria","name":"<${byte}>"}`), keyed)
    t.strictSame([reply.statusCode, reply.json()], [400, notUtf8])
  }
  t.strictSame(await allRows(db), before)
  t.equal((await post('{"contactId":"maria","name":"ö"}', keyed)).json().contact.name, 'ö')
})

const maria = '{"contactId":"maria","name":"Ana"}'

t.test('a Content-Encoding: 400 after the access checks and before the body is read', async (t) => {
  const { post, db } = await build(t, { bodyLimit: 100 })
  const before = await allRows(db)
  const bodies: Array<[situation: string, body: string | Buffer | undefined, headers?: object]> = [
    ['compressed JSON', gzipSync(maria)],
    ['plain JSON', maria],
    ['no JSON', '{'],
    ['an empty body', ''],
    ['no body', undefined],
    ['too large a body', 'x'.repeat(200)],
    ['a form', 'contactId=maria&name=Ana', form],
    ['a type that is not supported', '<a/>', { 'content-type': 'text/xml' }]
  ]
  const encodings = ['gzip', 'GZip', 'x-gzip', 'br', 'deflate', 'compress', 'zstd', 'aws-chunked', 'utf-8', 'gzip, identity', 'identity,gzip', 'identity;q=1', 'identities']
  for (const encoding of encodings) {
    for (const [situation, body, headers] of bodies) {
      const reply = await post(body, { ...headers, 'content-encoding': encoding })
      t.strictSame([reply.statusCode, reply.json()], [400, compressed], `${encoding}: ${situation}`)
    }
  }
  t.equal((await post(maria, { 'x-auth-token': 'wrong', 'content-encoding': 'gzip' })).statusCode, 401, 'a wrong token')
  t.equal((await post(maria, { ...as('nick'), 'content-encoding': 'gzip' })).statusCode, 403, 'without the permission')
  t.strictSame(await allRows(db), before)
})

t.test('Content-Encoding identity or empty: ignored', async (t) => {
  const { post } = await build(t)
  for (const [index, encoding] of ['identity', 'Identity', ' IDENTITY ', 'identity, identity', '', ' ', ','].entries()) {
    const reply = await post(`{"contactId":"maria","name":"Ana ${index}"}`, { 'content-encoding': encoding })
    t.strictSame([reply.statusCode, reply.json().contact?.name], [200, `Ana ${index}`], `"${encoding}"`)
  }
})

/** Decodes a body as @fastify/compress does: the header stays, and the stream says how many bytes came in. */
const decompress: preParsingHookHandler = (request, _reply, payload, done) => {
  if (request.headers['content-encoding'] !== 'gzip') return done(null, payload)
  const decoded = Object.assign(createGunzip(), { receivedEncodedLength: 0 })
  payload.on('data', (chunk: Buffer) => { decoded.receivedEncodedLength += chunk.length })
  payload.pipe(decoded)
  done(null, decoded)
}

t.test('a host that decompresses, as @fastify/compress does: the decoded body is read, after the access checks', async (t) => {
  const { post, db } = await build(t, {
    bodyLimit: 1000,
    host: (app) => {
      app.addHook('onRoute', (route) => {
        const hooksOfPlugin = route.preParsing as preParsingHookHandler[]
        // The last hook of the plugin checks the body, so the body must be decompressed before.
        route.preParsing = hooksOfPlugin.toSpliced(-1, 0, decompress)
      })
    }
  })
  const gzip = { 'content-encoding': 'gzip' }
  const before = await allRows(db)
  t.equal((await post(gzipSync(maria), { ...gzip, 'x-auth-token': 'wrong' })).statusCode, 401)
  t.equal((await post(gzipSync(maria), { ...gzip, ...as('nick') })).statusCode, 403)
  t.equal((await post(gzipSync('x'.repeat(100_000)), gzip)).statusCode, 413, 'a decompression bomb')
  t.strictSame((await post(gzipSync(bytes('<f6>')), gzip)).json(), notUtf8)
  t.strictSame((await post(maria, gzip)).json(), unreadable, 'a body that is not compressed')
  t.equal((await post(gzipSync('x'.repeat(100_000)).subarray(0, -20), gzip)).statusCode, 413, 'a decompression bomb without its end')
  t.strictSame((await post(maria, { 'content-encoding': 'br' })).json(), compressed, 'an encoding that the host does not decode')
  t.strictSame(await allRows(db), before)
  const reply = await post(gzipSync(maria), gzip)
  t.strictSame([reply.statusCode, reply.json().contact?.name], [200, 'Ana'])
})

t.test('a host that decompresses before the caller is known, and a body that it cannot decompress: answered, and the process goes on', async (t) => {
  for (const delayMs of [0, 20]) {
    const { post, db } = await build(t, {
      authenticate: async ({ headers }) => {
        await sleep(delayMs)
        return headers['x-user-id'] === 'ann' ? { id: 'ann' } : null
      },
      host: (app) => { app.addHook('preParsing', decompress) }
    })
    const before = await allRows(db)
    const gzip = { 'content-encoding': 'gzip' }
    for (const body of [maria, gzipSync(maria).subarray(0, -4), Buffer.alloc(0)]) {
      t.strictSame((await post(body, { ...gzip, ...as('nick') })).statusCode, 401)
      const reply = await post(body, gzip)
      t.strictSame([reply.statusCode, reply.json()], [400, unreadable])
    }
    t.strictSame(await allRows(db), before)
    t.equal((await post(gzipSync(maria), gzip)).statusCode, 200)
  }
})

t.test('a host that decompresses in its own hook and deletes the header: the decoded body is read', async (t) => {
  const { post } = await build(t, {
    host: (app) => {
      app.addHook('preParsing', (request, reply, payload, done) => {
        decompress.call(app, request, reply, payload, done)
        delete request.headers['content-encoding']
      })
    }
  })
  const reply = await post(gzipSync(maria), { 'content-encoding': 'gzip' })
  t.strictSame([reply.statusCode, reply.json().contact?.name], [200, 'Ana'])
})

t.test('escapes in JSON: a lone surrogate is stored and answered as U+FFFD, others are decoded', async (t) => {
  const { post } = await build(t)
  const scenarios: Array<[escaped: string, stored: string]> = [
    ['\\ud800', '\uFFFD'],
    ['\\udfff', '\uFFFD'],
    ['\\uD83D\\uDE00', '😀'],
    ['\\ud83d\\uDe00', '😀'],
    ['\\ude00\\ud83d', '\uFFFD\uFFFD'],
    ['\\ud83d\\ud83d\\ude00', '\uFFFD😀'],
    ['\\ud83d\\ude00\\ude00', '😀\uFFFD'],
    ['\\ud83dx\\ude00', '\uFFFDx\uFFFD'],
    ['\\ud83d😀', '\uFFFD😀'],
    ['😀\\ude00', '😀\uFFFD'],
    ['\\ud83d\\n\\ude00', '\uFFFD\n\uFFFD'],
    ['\\\\ud800', '\\ud800'],
    ['\\\\\\ud800', '\\\uFFFD'],
    ['\\ud83d\\\\ude00', '\uFFFD\\ude00'],
    ['\\"\\ud800\\"', '"\uFFFD"'],
    ['\\ud7ff\\ue000\\u00d8', '\uD7FF\uE000Ø'],
    ['\\u0000\\ud800', '\0\uFFFD'],
    ['ud800', 'ud800']
  ]
  for (const [escaped, stored] of scenarios) {
    const reply = await post(`{"contactId":"maria",
      "name":"${escaped}","emails":["${escaped}"],"phones":["${escaped}"],"customFields":{"plan":"gold","note":"x${escaped}x"}}`)
    t.equal(reply.statusCode, 200, escaped)
    const { contact } = reply.json()
    const { name, emails, phones, customFields: { plan, note } } = contact
    t.strictSame([name, emails, phones, note], [stored, [{ address: stored }], [{ phoneNumber: stored }], `x${stored}x`], escaped)

    const sentBack = { contactId: 'maria', name, emails: [emails[0].address], customFields: { plan, note } }
    const again = await post(JSON.stringify(sentBack))
    t.strictSame({ ...again.json().contact, _updatedAt: '' }, { ...contact, _updatedAt: '' }, `${escaped}: the same if the answer is sent back`)
  }
  const halfAnEscape = await post('{"contactId":"maria","name":"\\ud8"}')
  t.equal(halfAnEscape.json().error, 'The request body is not valid JSON [invalid-params]')
})

t.test('lone surrogates in lists, keys and ids: become U+FFFD before they are compared', async (t) => {
  const { post, db } = await build(t)
  await db.exec(`
    INSERT INTO omnichannel_contact (id, name) VALUES ('c\uFFFD', 'C');
    INSERT INTO omnichannel_user (id) VALUES ('u\uFFFD');
    INSERT INTO omnichannel_user_role (user_id, role) VALUES ('u\uFFFD', 'livechat-agent');
    INSERT INTO omnichannel_custom_field (id, label, required, regexp, visibility, scope) VALUES ('f\uFFFD', 'F', FALSE, '^.\uFFFD$', 'visible', 'visitor')`)
  const duplicate = invalid('must NOT have duplicate items (items ## 1 and 0 are identical)')
  const errorOf = async (body: string): Promise<unknown> => (await post(body)).json().error
  const before = await allRows(db)
  for (const list of ['["\\ud83d","\\ude00"]', '["\\ud83d","\uFFFD"]', '["x\\udfff","x\\ud800"]', '["\\uD83D\\uDE00","😀"]']) {
    for (const key of ['emails', 'phones']) {
      const reply = await post(`{"contactId":"maria","${key}":${list}}`)
      t.strictSame([reply.statusCode, reply.json()], [400, duplicate], `${key} ${list}`)
    }
  }
  t.equal(await errorOf('{"contactId":"maria","customFields":{"plan":"gold","x\\ud800":1}}'), 'Custom field x\uFFFD is not allowed')
  t.equal(await errorOf('{"contactId":"maria","customFields":{"plan":"gold\\ud800"}}'), 'Invalid value for Plan field')
  t.equal(await errorOf('{"contactId":"maria","customFields":{"plan":[["\\ud800"]]}}'), 'Invalid value for Plan field')
  t.equal(await errorOf('{"contactId":"maria","\\ud800":1}'), 'must NOT have additional properties [invalid-params]')
  t.equal(await errorOf('{"contactId":"maria\\ud800"}'), 'error-contact-not-found')
  t.strictSame(await allRows(db), before)

  const reply = await post('{"contactId":"c\\ud800","contactManager":"u\\udc00","customFields":{"plan":"gold","f\\ud800":"no","f\\udc00":"x\\ud800"}}')
  t.equal(reply.statusCode, 200)
  t.match(changes(before, await allRows(db)), {
    'contact c\uFFFD': { contact_manager: 'u\uFFFD', custom_fields: '{"plan":"gold","f\uFFFD":"x\uFFFD"}' }
  }, 'if two keys become equal, the last one counts')
})

t.test('two lone surrogates with one Idempotency-Key: the same request', async (t) => {
  const { post } = await build(t)
  const send = async (name: string) => await post(`{"contactId":"maria","name":"${name}"}`, { 'idempotency-key': 'k' })
  const [first, second, other] = [await send('\\ud800'), await send('\\udfff'), await send('\\ud83d\\ude00')]
  t.strictSame([second.statusCode, second.headers['idempotency-replayed'], second.body], [200, 'true', first.body])
  t.equal(other.statusCode, 422)
})

t.test('200,000 characters of escapes: answered', async (t) => {
  const { post } = await build(t)
  for (const escape of ['\\n', '\\\\', '\\ud83d', '\\ud83d\\ude00']) {
    const reply = await post(`{"contactId":"nobody","name":"${escape.repeat(200_000 / escape.length)}"}`)
    t.equal(reply.json().error, 'error-contact-not-found', escape)
  }
})
