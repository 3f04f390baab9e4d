import t from 'tap'
import { build } from '../helpers/test-server.js'
import { listen } from '../helpers/observed-server.js'
import { hostUsers, nameOfMaria, waitTurns } from '../helpers/waiting.js'

for (const [callers, options] of Object.entries({ 'users of the database': {}, 'users of the host': hostUsers })) {
  for (const { end, lockTimeout, status } of [
    { end: 'ends', lockTimeout: 10_000, status: 200 },
    { end: 'does not end', lockTimeout: 200, status: 503 }
  ]) {
    t.test(`app.close() while updates of ${callers} wait for a transaction that ${end}: each gets ${status}`, async (t) => {
      const testServer = await build(t, { ...options, lockTimeout })
      const { app, database, db } = testServer
      const post = await listen(testServer)
      database.exec('BEGIN')
      const statuses = Promise.all(['1', '2', '3'].map(async (name) => (await post({ contactId: 'maria', name }).reply)?.status))
      await waitTurns(50)
      const closing = app.close()
      await waitTurns(20)
      if (status === 200) database.exec('COMMIT')
      t.strictSame(await statuses, [status, status, status])
      await closing
      if (status === 503) database.exec('COMMIT')
      t.match(await nameOfMaria(db), status === 200 ? /^[123]$/ : /^Maria$/)
      t.doesNotThrow(() => { database.exec('SELECT 1') }, 'the handle is still open')
    })
  }
}

t.test('app.close() while an injected request waits: ends after it, so the host can close its handle then', async (t) => {
  const { app, update, database, db } = await build(t, hostUsers)
  database.exec('BEGIN')
  const waiting = update({ contactId: 'maria', name: 'Marie' })
  await waitTurns(20)
  const closing = app.close()
  await waitTurns(20)
  database.exec('COMMIT')
  await closing
  t.equal(await nameOfMaria(db), 'Marie')
  database.close()
  t.equal((await waiting).statusCode, 200)
})
