import { join } from 'node:path'
import t, { sqlite } from '../engines.js'
import { allRows, build } from '../build.js'
import { openFile } from '../files.js'
import { openHandle } from '../handle.js'
import { observe } from '../observed.js'
import { busy, internal } from '../refusals.js'

// Details that contract.test.ts leaves out: special characters in error texts, the log of a failure, and the update after a 503.

t.test('labels and keys in error texts: copied without escaping', async (t) => {
  const { update, db } = await build(t)
  for (const label of ['<b>Plan & "co"</b>', '%s %d %%', '$&', '  ', 'Größe 🙂']) {
    await db.exec("UPDATE omnichannel_custom_field SET label = $1 WHERE id = 'plan'", label)
    t.strictSame((await update({ contactId: 'maria', customFields: {} })).json(), { success: false, error: `Invalid value for ${label} field` })
    t.strictSame((await update({ contactId: 'maria', customFields: { plan: 'gold', [label]: 1 } })).json(), {
      success: false, error: `Custom field ${label} is not allowed`
    })
  }
})

t.test('an unexpected error: 500 with a fixed text, and the cause in the log only', async (t) => {
  const { update, db, lines, complaints } = await observe(t)
  await db.refuseUpdates('omnichannel_inquiry', 'the trigger says no')
  const before = await allRows(db)
  const reply = await update({ contactId: 'maria', name: 'X', emails: [], customFields: { plan: 'silver' }, wipeConflicts: true })
  t.strictSame([reply.statusCode, reply.json()], [500, internal])
  t.match(reply.headers, { 'content-type': 'application/json', 'cache-control': 'no-store', pragma: 'no-cache' })
  t.strictSame(await allRows(db), before)
  t.match(complaints(), [/the trigger says no/])
  t.match(lines.filter(({ level }) => level > 30), [{ level: 50 }], 'logged once, as an error')
  t.notMatch(JSON.stringify(lines), /token-of-ann/, 'no token in the log')
})

sqlite.test('a locked file: 503 with Retry-After, and 200 once the lock is gone', async (t) => {
  const file = join(t.testdir(), 'contacts.db')
  const { update, db } = await build(t, { database: openHandle(file), lockTimeout: 30 })
  const other = openFile(t, file)
  const before = await allRows(db)

  other.exec('BEGIN IMMEDIATE')
  const reply = await update({ contactId: 'maria', name: 'X' })
  other.exec('ROLLBACK')
  t.strictSame([reply.statusCode, reply.json()], [503, busy])
  t.match(reply.headers, { 'retry-after': /^[1-9]\d*$/, 'content-type': 'application/json', 'cache-control': 'no-store', pragma: 'no-cache' })
  t.strictSame(await allRows(db), before)

  t.equal((await update({ contactId: 'maria', name: 'X' })).statusCode, 200)
})
