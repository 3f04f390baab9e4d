import t from 'tap'
import { allRows, build } from '../../build.js'
import { openHandle } from '../../handle.js'
import { busy } from '../../refusals.js'
import { known, nameOf, turns } from '../../waiting.js'

t.test('a transaction of the host, committed or rolled back: an update waits for its end', async (t) => {
  for (const options of [{}, known]) {
    for (const end of ['COMMIT', 'ROLLBACK']) {
      const { update, database, db } = await build(t, options)
      database.exec("BEGIN; INSERT INTO omnichannel_statistic VALUES ('host', 1)")
      let isAnswered = false
      const waiting = update({ contactId: 'maria', name: 'Marie' }).finally(() => { isAnswered = true })
      await turns(40)
      t.equal(isAnswered, false)
      t.equal(await nameOf(db), 'Maria', 'the update is not part of it')
      database.exec(end)
      t.equal((await waiting).json().contact.name, 'Marie', end)
      t.equal(await nameOf(db), 'Marie')
      t.equal((await allRows(db)).omnichannel_statistic!.length, end === 'COMMIT' ? 1 : 0, "the host's row")
    }
  }
})

t.test('a transaction of the host that is longer than lockTimeout: 503, nothing changed, and the next update is made', async (t) => {
  for (const options of [{}, known]) {
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
  for (const options of [{}, known]) {
    const { update, database, db } = await build(t, options)
    database.exec('BEGIN')
    const waiting = []
    for (let i = 1; i <= 20; i++) {
      waiting.push(update({ contactId: 'maria', name: `${i}` }))
      await turns(1)
    }
    database.exec('COMMIT')
    await Promise.all(waiting)
    t.equal(await nameOf(db), '20', options === known ? 'known users' : 'users of the database')
  }
})

t.test('without a WAL, a reader that blocks COMMIT: the updates wait, and are made once', async (t) => {
  const file = `${t.testdir()}/contacts.db`
  const other = openHandle(file)
  t.teardown(() => { other.close() })
  const { update, database } = await build(t, { database: openHandle(file, { timeout: 60_000 }) })
  const reading = other.prepare('SELECT id FROM omnichannel_contact').iterate()
  reading.next()
  let isAnswered = false
  const waiting = ['second', 'third', ''].map((name) => update({ contactId: 'maria', name }).finally(() => { isAnswered = true }))
  await turns(50)
  t.equal(isAnswered, false)
  reading.return!()
  t.strictSame((await Promise.all(waiting)).map((reply) => reply.statusCode), [200, 200, 400])
  t.strictSame(database.prepare("SELECT name, version FROM omnichannel_contact WHERE id = 'maria'").raw().get(), ['third', 3], 'each is made once')
})
