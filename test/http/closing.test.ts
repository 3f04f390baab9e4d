import { once } from 'node:events'
import { request } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { as, build, path } from '../build.js'
import { known, nameOf, turns } from '../waiting.js'

t.test('app.close() lets waiting updates finish, or refuses them, and leaves none without an answer', async (t) => {
  for (const options of [{}, known]) {
    for (const isFreed of [true, false]) {
      const { app, database, db } = await build(t, { ...options, lockTimeout: isFreed ? 10_000 : 200 })
      await app.listen({ host: '127.0.0.1', port: 0 })
      const { port } = app.server.address() as AddressInfo
      database.exec('BEGIN')
      const post = async (name: string): Promise<number | undefined> => {
        const headers = { ...as('ann'), 'content-type': 'application/json' }
        const sent = request({ host: '127.0.0.1', port, path, method: 'POST', headers, agent: false })
        sent.end(JSON.stringify({ contactId: 'maria', name }))
        const [reply] = await once(sent, 'response')
        reply.resume()
        return reply.statusCode
      }
      const waiting = [post('1'), post('2'), post('3')]
      await turns(50)
      const closing = app.close()
      await turns(20)
      if (isFreed) database.exec('COMMIT')
      t.strictSame(await Promise.all(waiting), Array(3).fill(isFreed ? 200 : 503))
      await closing
      if (!isFreed) database.exec('COMMIT')
      t.equal(await nameOf(db) === 'Maria', !isFreed)
      t.equal(database.open, true)
    }
  }
})

t.test('app.close() waits for what inject has sent, so that the host can close its handle then', async (t) => {
  const { app, update, database, db } = await build(t, known)
  database.exec('BEGIN')
  const waiting = update({ contactId: 'maria', name: 'Marie' })
  await turns(20)
  const closing = app.close()
  await turns(20)
  database.exec('COMMIT')
  await closing
  t.equal(await nameOf(db), 'Marie')
  database.close()
  t.equal((await waiting).statusCode, 200)
})
