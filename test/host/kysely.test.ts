import { Kysely, SqliteDialect, type Transaction } from 'kysely'
import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { build } from '../helpers/test-server.js'

interface Tables {
  ledger: { entry: string, part: number }
}

t.test('transactions of the host with Kysely, between updates: each is committed or rolled back as a whole', async (t) => {
  const { database, update } = await build(t, {
    host: (_app, { database }) => { database.exec('CREATE TABLE ledger (entry TEXT, part INTEGER)') }
  })
  const kysely = new Kysely<Tables>({ dialect: new SqliteDialect({ database }) })
  const insert = async (transaction: Transaction<Tables>, entry: string, part: number): Promise<void> => {
    await transaction.insertInto('ledger').values({ entry, part }).execute()
  }

  /** Inserts two rows in one transaction, with three turns of the event loop between them. */
  const insertBothParts = async (entry: string, fails: boolean): Promise<void> => {
    await kysely.transaction().execute(async (transaction) => {
      await insert(transaction, entry, 1)
      for (let turn = 0; turn < 3; turn++) await nextTurn()
      await insert(transaction, entry, 2)
      if (fails) throw new Error('rolled back')
    })
  }

  const entries = Array.from({ length: 30 }, (_, index) => `entry-${index}`)
  const isRolledBack = (index: number): boolean => index % 3 === 0
  const transactions = entries.map((entry, index) => insertBothParts(entry, isRolledBack(index)))
  const updates = entries.map(async (_, index) => {
    for (let turn = 0; turn < index; turn++) await nextTurn()
    return await update({ contactId: index % 2 === 0 ? 'maria' : 'blank', name: `Name ${index}` })
  })

  const outcomes = await Promise.allSettled(transactions)
  const replies = await Promise.all(updates)
  t.strictSame(outcomes.map(({ status }) => status), entries.map((_, index) => isRolledBack(index) ? 'rejected' : 'fulfilled'))
  t.strictSame(replies.map((reply) => reply.statusCode), replies.map(() => 200))

  const rows = database.prepare('SELECT entry, count(*) AS parts FROM ledger GROUP BY entry').all()
  t.equal(rows.length, 20, 'two thirds of the entries')
  t.strictSame(
    new Map(rows.map((row) => [(row as { entry: string }).entry, row])),
    new Map(entries.filter((_, index) => !isRolledBack(index)).map((entry) => [entry, { entry, parts: 2 }])),
    'the committed rows of the host only'
  )
  // A contact begins with version 1.
  const updatesMade = database.prepare("SELECT sum(version - 1) FROM omnichannel_contact WHERE id IN ('maria', 'blank')").pluck().get()
  t.equal(updatesMade, 30, 'every update with a 200 has been written')
  t.equal(database.inTransaction, false)
})
