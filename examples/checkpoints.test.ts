// The worker moves the log into the file while the server answers.
//
//   npx tap --disable-coverage examples/checkpoints.test.ts

import Database from 'better-sqlite3'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { addDemoData, buildApp } from './checkpoints.js'

t.test('a long log: the worker moves it into the file, and the server answers', async (t) => {
  const database = new Database(join(t.testdir(), 'contacts.db'))
  const app = await buildApp(database)
  t.teardown(async () => {
    await app.close()
    database.close()
  })
  addDemoData(database)
  database.exec('CREATE TABLE page (content BLOB)')
  const write = database.prepare(`WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 5000)
    INSERT INTO page SELECT randomblob(3000) FROM number`)
  write.run()
  const [{ log }] = database.pragma('wal_checkpoint(NOOP)') as [{ log: number }]
  t.ok(log > 4000 && log < 10_000, 'long enough for the worker, and too short for a checkpoint of SQLite itself')
  const isMoved = (): boolean => {
    const [{ log, checkpointed }] = database.pragma('wal_checkpoint(NOOP)') as [{ log: number, checkpointed: number }]
    return log === checkpointed
  }
  while (!isMoved()) await setTimeout(10)
  const { statusCode } = await app.inject({
    method: 'POST',
    url: '/api/v1/omnichannel/contacts.update',
    headers: { 'x-user-id': 'ann', 'x-auth-token': 's3cret' },
    payload: { contactId: 'maria', name: 'Maria Silva' }
  })
  t.equal(statusCode, 200)
})
