// Checks updates under triggers and rules of the host. If they add writes, the update is made. If they drop or revert some, it fails.

import type { Test } from 'tap'
import { allRows, as, type Setup } from '../helpers/test-server.js'
import { internalServerError, observe } from '../helpers/observed-server.js'

/** An update of the name, all lists, the custom fields and the statistic. */
export const body = {
  contactId: 'maria', name: 'Marie', emails: ['a@b.c'], phones: ['1', '2'], customFields: { plan: 'silver' }, wipeConflicts: true
}
const headers = { ...as('ann'), 'idempotency-key': 'key' }

/** Checks that the update is made once although a trigger adds to it. */
export async function checkMadeOnce (t: Test, createTrigger: string, setup: Setup = {}): Promise<void> {
  const { update, db, eventsBeforeCommit, eventsAfterCommit, warningTexts, leftovers } = await observe(t, setup)
  await db.exec(createTrigger)
  const reply = await update(body, headers)
  const again = await update(body, headers)
  t.strictSame([reply.statusCode, reply.json().contact?.name, reply.headers['idempotency-replayed']], [200, 'Marie', undefined])
  t.strictSame([again.statusCode, again.body, again.headers.etag, again.headers['idempotency-replayed']], [200, reply.body, reply.headers.etag, 'true'])
  t.strictSame(await db.rows('SELECT id, name, update_id FROM omnichannel_contact WHERE update_id IS NOT NULL'),
    [{ id: 'maria', name: 'Marie', update_id: eventsBeforeCommit[0]?.updateId }])
  // A deferred trigger may change the version after the update has read it for the ETag.
  if (!createTrigger.includes('DEFERRED')) {
    t.equal(reply.headers.etag, `"${await db.value("SELECT version FROM omnichannel_contact WHERE id = 'maria'")}"`)
  }
  t.strictSame([eventsBeforeCommit.length, eventsAfterCommit.length, warningTexts(), await leftovers()], [1, 1, [], {}])
  t.equal(await db.value("SELECT value FROM omnichannel_statistic WHERE name = 'Resolved_Conflicts_Count'"), 2)
}

interface Refusal {
  createTrigger: string
  dropTrigger: string
  /** The status of an update of another contact that is sent at the same time. */
  otherStatus: 200 | 500
  /** Matches the line in the log. */
  logged: RegExp
  setup?: Setup
}

/** Checks that the update fails while the trigger exists, and succeeds once it is dropped. */
export async function checkRefused (t: Test, { createTrigger, dropTrigger, otherStatus, logged, setup = {} }: Refusal): Promise<void> {
  const { update, db, eventsAfterCommit, warningTexts, leftovers } = await observe(t, setup)
  await db.exec(createTrigger)
  const before = await allRows(db)
  for (const attempt of [1, 2]) {
    const reply = await update(body, headers)
    t.strictSame([reply.statusCode, reply.json(), reply.headers.etag], [500, internalServerError, undefined])
    t.equal(warningTexts().length, attempt, 'each attempt is logged once')
  }
  for (const line of warningTexts()) t.match(line, logged)
  t.strictSame([await allRows(db), eventsAfterCommit, await leftovers()], [before, [], {}])
  const replies = await Promise.all([update(body, headers), update({ contactId: 'blank', name: 'Blank' })])
  t.strictSame(replies.map(({ statusCode }) => statusCode), [500, otherStatus])
  await db.exec(dropTrigger)
  t.equal((await update(body, headers)).statusCode, 200)
}
