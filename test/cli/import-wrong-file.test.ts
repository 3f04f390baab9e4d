// The option of one collection names a file of another.

import t from 'tap'
import { join } from 'node:path'
import { cli } from './run-cli.js'
import { collectionOf } from './export-names.js'

const options = Object.keys(collectionOf)
const fixture = (option: string) => `test/fixtures/export/${option}.jsonl`

/** A document of each collection that has no option. */
const notImported: Record<string, object> = {
  rocketchat_livechat_visitor: { _id: 'v', token: 't', username: 'guest-1', name: 'Maria', visitorEmails: [{ address: 'm@example.com' }], status: 'online' },
  rocketchat_message: { _id: 'm', rid: 'r', msg: 'hello', u: { _id: 'ann', username: 'ann' }, mentions: [], channels: [] }
}

t.test('the file of another collection: refused, also with --on-error skip', async (t) => {
  for (const option of options) {
    const database = join(t.testdir(), 'a.db')
    for (const other of options.filter((other) => other !== option)) {
      const { code, out, err } = await cli(['import', '--database', database, `--${option}`, fixture(other), '--on-error', 'skip', '--batch', '1'])
      t.strictSame({ code, out, err }, {
        code: 1,
        out: '',
        err: `${fixture(other)}, line 1: this is not one of the ${option} but looks like a document of ${collectionOf[other]}, which goes to ` +
          `--${other}; nothing of this file was imported\n`
      }, `${other} as ${option}`)
    }
    for (const [collection, document] of Object.entries(notImported)) {
      const { code, err } = await cli(['import', '--database', database, `--${option}`, '-'], { stdin: JSON.stringify(document) })
      t.equal(code, 1)
      t.equal(err, `-, line 1: this is not one of the ${option} but looks like a document of ${collection}, which is not imported; ` +
      'nothing of this file was imported\n', `${collection} as ${option}`)
    }
  }
})

t.test('bad lines first: the file of another collection is still refused', async (t) => {
  const { code, err } = await cli(['import', '--database', join(t.testdir(), 'a.db'), '--users', '-', '--on-error', 'skip'],
    { stdin: 'bad\n{"_id":"c","name":"C","unknown":false}\n' })
  t.equal(code, 1)
  t.match(err, /line 1: this is not JSON \(skipped\)\n-, line 2: this is not one of the users but .* --contacts; nothing of this file/)
})

t.test('a document of another collection after one that fits: treated like any other bad line', async (t) => {
  const stdin = '{"_id":"ann","username":"ann"}\n{"_id":"c","name":"C","unknown":false}\n{"_id":"bob","username":"bob"}\n'
  const database = join(t.testdir(), 'a.db')
  t.match(await cli(['import', '--database', database, '--users', '-'], { stdin }), { code: 1, err: /line 2: this is not one of the users/ })
  t.match(await cli(['import', '--database', database, '--users', '-', '--on-error', 'skip'], { stdin }),
    { code: 0, out: /^users: 2 new, 0 updated, 0 ignored, 1 skipped/, err: /line 2: this is not one of the users .* \(skipped\)\n$/ })
})

t.test('documents with few keys: accepted as documents of the named collection', async (t) => {
  const documents: Record<string, object> = {
    'custom-fields': { _id: 'plan', label: 'Plan' },
    permissions: { _id: 'p', roles: ['admin'] },
    users: { _id: 'user-1', name: 'Ann', roles: ['livechat-agent'] },
    contacts: { _id: 'c', name: 'C' },
    rooms: { _id: 'r', t: 'l', contactId: 'c' },
    subscriptions: { _id: 's', rid: 'r', v: { _id: 'v' } },
    inquiries: { _id: 'i', rid: 'r', v: { _id: 'v' } }
  }
  const database = join(t.testdir(), 'a.db')
  for (const [option, document] of Object.entries(documents)) {
    t.match(await cli(['import', '--database', database, `--${option}`, '-'], { stdin: JSON.stringify(document) }),
      { code: 0, out: new RegExp(`^${option}: 1 new`), err: '' }, option)
  }
})

t.test('a file with only ignored documents: the summary says why', async (t) => {
  const scenarios: Array<[option: string, document: (i: number) => object, reason: string]> = [
    ['rooms', (i) => ({ _id: i.toString(), t: 'c' }), "no omnichannel rooms (t: 'l' with a contactId) among 3"],
    ['subscriptions', (i) => ({ _id: i.toString(), rid: 'GENERAL', u: { _id: 'ann' } }),
      "no subscriptions of omnichannel rooms (with a visitor's v._id) among 3"],
    ['inquiries', (i) => ({ _id: i.toString(), rid: 'GENERAL' }), "no inquiries of omnichannel rooms (with a visitor's v._id) among 3"]
  ]
  for (const [option, document, reason] of scenarios) {
    const { code, out } = await cli(['import', '--database', join(t.testdir(), 'a.db'), `--${option}`, '-'],
      { stdin: [1, 2, 3].map((i) => JSON.stringify(document(i))).join('\n') })
    t.equal(code, 0)
    t.equal(out.replace(/\d+ lines\/s/, 'N lines/s'), `${option}: 0 new, 0 updated, 3 ignored, 0 skipped (N lines/s); ${reason}\n`)
  }
})
