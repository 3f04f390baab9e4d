// The host has a transaction on the handle of the plugin.

import t from 'tap'
import { allRows, build } from '../../helpers/test-server.js'
import { busy } from '../../helpers/refusals.js'
import { hostUsers, nameOfMaria, waitTurns } from '../../helpers/waiting.js'

t.test('a transaction of the host, committed or rolled back: an update waits for its end', async (t) => {
  for (const options of [{}, hostUsers]) {
    for (const end of ['COMMIT', 'ROLLBACK']) {
      const { update, database, db } = await build(t, options)
      database.exec("BEGIN; INSERT INTO omnichannel_statistic VALUES ('host', 1)")
      let isAnswered = false
      const waiting = update({ contactId: 'maria', name: 'Marie' }).finally(() => { isAnswered = true })
      await waitTurns(40)
      t.equal(isAnswered, false)
      t.equal(await nameOfMaria(db), 'Maria', 'the update is not part of it')
      database.exec(end)
      t.equal((await waiting).json().contact.name, 'Marie', end)
      t.equal(await nameOfMaria(db), 'Marie')
      t.equal((await allRows(db)).omnichannel_statistic!.length, end === 'COMMIT' ? 1 : 0, 'the row of the host')
    }
  }
})

t.test('a transaction of the host that is longer than lockTimeout: 503, nothing changed, and the next update is made', async (t) => {
  for (const options of [{}, hostUsers]) {
    const { update, database, db } = await build(t, { ...options, lockTimeout: 30 })
    const before = await allRows(db)
    database.exec('BEGIN')
    const replies = await Promise.all([update({ contactId: 'maria', name: 'Marie' }), update({ contactId: 'maria', phones: [] })])
    database.exec('COMMIT')
    for (const reply of replies) {
      t.strictSame([reply.statusCode, reply.json()], [503, busy])
      t.match(reply.headers, { 'retry-after': /^\d+$/, 'content-type': 'application/json', 'cache-control': 'no-store', pragma: 'no-cache' })
    }
    t.strictSame(await allRows(db), before)
    t.equal((await update({ contactId: 'maria', name: 'Marie' })).statusCode, 200)
  }
})

t.test('updates that wait for the handle: made in the order of their arrival', async (t) => {
  for (const options of [{}, hostUsers]) {
    const { update, database, db } = await build(t, options)
    database.exec('BEGIN')
    const waiting = []
    for (let number = 1; number <= 20; number++) {
      waiting.push(update({ contactId: 'maria', name: `${number}` }))
      await waitTurns(1)
    }
    database.exec('COMMIT')
    await Promise.all(waiting)
    t.equal(await nameOfMaria(db), '20', options === hostUsers ? 'users of the host' : 'users of the database')
  }
})
