import { Kysely, SqliteDialect, type Transaction } from 'kysely'
import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { build } from '../helpers/build.js'

interface Tables {
  ledger: { entry: string, part: number }
}

t.test('a host with its own Kysely on the handle: its transactions alternate with updates, and each is committed or rolled back as a whole', async (t) => {
  const { database, update } = await build(t, {
    host: (_app, { database }) => { database.exec('CREATE TABLE ledger (entry TEXT, part INTEGER)') }
  })
  const kysely = new Kysely<Tables>({ dialect: new SqliteDialect({ database }) })
  const insert = async (transaction: Transaction<Tables>, entry: string, part: number): Promise<void> => {
    await transaction.insertInto('ledger').values({ entry, part }).execute()
  }

  const insertBoth = async (entry: string, fails: boolean): Promise<void> => {
    await kysely.transaction().execute(async (transaction) => {
      await insert(transaction, entry, 1)
      for (let turn = 0; turn < 3; turn++) await nextTurn()
      await insert(transaction, entry, 2)
      if (fails) throw new Error('rolled back')
    })
  }

  const entries = Array.from({ length: 30 }, (_, index) => `entry-${index}`)
  const fails = (index: number): boolean => index % 3 === 0
  const transactions = entries.map((entry, index) => insertBoth(entry, fails(index)))
  const updates = entries.map(async (_, index) => {
    for (let turn = 0; turn < index; turn++) await nextTurn()
    return await update({ contactId: index % 2 === 0 ? 'maria' : 'blank', name: `Name ${index}` })
  })

  const outcomes = await Promise.allSettled(transactions)
  const replies = await Promise.all(updates)
  t.strictSame(outcomes.map(({ status }) => status), entries.map((_, index) => fails(index) ? 'rejected' : 'fulfilled'))
  t.strictSame(replies.map((reply) => reply.statusCode), replies.map(() => 200))

  const rows = database.prepare('SELECT entry, count(*) AS parts FROM ledger GROUP BY entry').all()
  t.equal(rows.length, 20)
  t.strictSame(
    new Map(rows.map((row) => [(row as { entry: string }).entry, row])),
    new Map(entries.filter((_, index) => !fails(index)).map((entry) => [entry, { entry, parts: 2 }])),
    'the committed rows of the host only'
  )
  const versions = database.prepare('SELECT sum(version) - 2 FROM omnichannel_contact WHERE id IN (?, ?)').pluck().get('maria', 'blank')
  t.equal(versions, 30, 'every update that was acknowledged has been written')
  t.equal(database.inTransaction, false)
})
