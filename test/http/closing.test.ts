import t from 'tap'
import { build } from '../helpers/build.js'
import { listen } from '../helpers/observed.js'
import { knownCaller, nameOfMaria, turns } from '../helpers/waiting.js'

t.test('app.close() with waiting updates: each is made or refused, and each is answered', async (t) => {
  for (const options of [{}, knownCaller]) {
    for (const isFreed of [true, false]) {
      const world = await build(t, { ...options, lockTimeout: isFreed ? 10_000 : 200 })
      const { app, database, db } = world
      const post = await listen(world)
      database.exec('BEGIN')
      const waiting = ['1', '2', '3'].map(async (name) => (await post({ contactId: 'maria', name }).reply)?.status)
      await turns(50)
      const closing = app.close()
      await turns(20)
      if (isFreed) database.exec('COMMIT')
      t.strictSame(await Promise.all(waiting), Array(3).fill(isFreed ? 200 : 503))
      await closing
      if (!isFreed) database.exec('COMMIT')
      t.equal(await nameOfMaria(db) === 'Maria', !isFreed)
      t.doesNotThrow(() => { database.exec('SELECT 1') }, 'the handle is still open')
    }
  }
})

t.test('app.close() with an injected request: waits for it, so that the host can close its handle afterwards', async (t) => {
  const { app, update, database, db } = await build(t, knownCaller)
  database.exec('BEGIN')
  const waiting = update({ contactId: 'maria', name: 'Marie' })
  await turns(20)
  const closing = app.close()
  await turns(20)
  database.exec('COMMIT')
  await closing
  t.equal(await nameOfMaria(db), 'Marie')
  database.close()
  t.equal((await waiting).statusCode, 200)
})
