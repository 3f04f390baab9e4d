// What the commands do to a PostgreSQL database that lacks our tables.

import type { Test } from 'tap'
import { postgres as t } from '../engines.js'
import { openSchema } from '../postgres.js'
import { cli } from './io.js'

async function open (t: Test) {
  const { db, url, close } = await openSchema()
  t.teardown(close)
  return { db, name: url.replace(':s3cret', ''), on: async (...argv: string[]) => await cli([...argv, '--database', url]) }
}

t.test('commands that read: say what is missing, and create nothing', async (t) => {
  const { db, name, on } = await open(t)
  for (const argv of [['user', 'list'], ['token', 'list'], ['contact', 'list'], ['contact', 'maria']]) {
    t.strictSame(await on(...argv), { code: 1, out: '', err: `The database ${name} has no tables of this program\n` }, argv.join(' '))
  }
  t.strictSame(await db.tables(), [])
  await on('user', 'add', 'ann', '--role', 'admin')
  t.match(await on('user', 'list'), { code: 0, err: '' })
  await db.exec('DROP TABLE omnichannel_inquiry')
  t.strictSame(await on('user', 'list'), { code: 1, out: '', err: `The database lacks omnichannel_inquiry: the command migrate brings ${name} up to date\n` })
  t.notOk((await db.tables()).includes('omnichannel_inquiry'))
  t.equal((await on('user', 'activate', 'ann')).code, 0)
  t.ok((await db.tables()).includes('omnichannel_inquiry'))
})

t.test('commands that change something: refuse a database without our tables', async (t) => {
  const { db, name, on } = await open(t)
  for (const argv of [['user', 'remove', 'ann'], ['user', 'activate', 'ann'], ['token', 'create', 'ann'], ['token', 'revoke', 'ann', 'crm']]) {
    t.strictSame(await on(...argv), { code: 1, out: '', err: `The database ${name} has no tables of this program\n` }, argv.join(' '))
  }
  t.strictSame(await db.tables(), [])
})
