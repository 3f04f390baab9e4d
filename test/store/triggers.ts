// Triggers and rules of the host: an update is made once if they add to it, and fails if they drop or revert a part of it.

import type { Test } from 'tap'
import { allRows, as, type Setup } from '../helpers/build.js'
import { internal, observe } from '../helpers/observed.js'

export const body = {
  contactId: 'maria', name: 'Marie', emails: ['a@b.c'], phones: ['1', '2'], customFields: { plan: 'silver' }, wipeConflicts: true
}
export const keyed = { ...as('ann'), 'idempotency-key': 'k' }

/** The update is made once although the trigger adds to it. */
export async function checkAdding (t: Test, sql: string, setup: Setup = {}): Promise<void> {
  const { update, db, called, notified, complaints, leftovers } = await observe(t, setup)
  await db.exec(sql)
  const reply = await update(body, keyed)
  const again = await update(body, keyed)
  t.strictSame([reply.statusCode, reply.json().contact?.name, reply.headers['idempotency-replayed']], [200, 'Marie', undefined])
  t.strictSame([again.statusCode, again.body, again.headers.etag, again.headers['idempotency-replayed']], [200, reply.body, reply.headers.etag, 'true'])
  t.match((await allRows(db)).omnichannel_contact, [{}, {}, { id: 'maria', name: 'Marie', update_id: called[0]?.updateId }])
  // A deferred trigger may change the version after the update has read it for the ETag.
  if (!sql.includes('DEFERRED')) t.equal(reply.headers.etag, `"${await db.value("SELECT version FROM omnichannel_contact WHERE id = 'maria'")}"`)
  t.strictSame([called.length, notified.length, complaints(), await leftovers()], [1, 1, [], {}])
  t.equal(await db.value("SELECT value FROM omnichannel_statistic WHERE name = 'Resolved_Conflicts_Count'"), 2)
}

interface Expected {
  /** The status of an update of another contact that is sent at the same time. */
  otherStatus: 200 | 500
  logged: RegExp
}

/** The update fails while the trigger exists, and succeeds after `undo` has removed the trigger. */
export async function checkDropping (
  t: Test, sql: string, undo: string, { otherStatus, logged }: Expected, setup: Setup = {}
): Promise<void> {
  const { update, db, notified, complaints, leftovers } = await observe(t, setup)
  await db.exec(sql)
  const before = await allRows(db)
  for (const time of [1, 2]) {
    const reply = await update(body, keyed)
    t.strictSame([reply.statusCode, reply.json(), reply.headers.etag], [500, internal, undefined])
    t.equal(complaints().length, time, 'logged once')
  }
  for (const line of complaints()) t.match(line, logged)
  t.strictSame([await allRows(db), notified, await leftovers()], [before, [], {}])
  const replies = await Promise.all([update(body, keyed), update({ contactId: 'blank', name: 'Blank' })])
  t.strictSame(replies.map(({ statusCode }) => statusCode), [500, otherStatus])
  await db.exec(undo)
  t.equal((await update(body, keyed)).statusCode, 200)
}
