// What became of an update whose COMMIT nobody has seen answered. The contact is locked again, which waits for whoever still
// has it; then its row tells, or the key that was stored with it.

import { together, type Fate, type Steps } from '../store/steps.js'
import { findContact } from './contact.js'
import { findAnswer } from './idempotency.js'
import type { Done, Work } from './unit-of-work.js'

/** Whether `done` was committed. */
export function * whatBecameOf ({ body, idempotencyKey }: Pick<Work, 'body' | 'idempotencyKey'>, done: Done): Steps<Fate> {
  const keys = idempotencyKey === undefined ? [] : [findAnswer(idempotencyKey)]
  const [stored, known] = yield * together(findContact(body.contactId), ...keys)
  if (known !== undefined) return known.remembered === undefined ? 'undone' : 'committed'
  // Whoever changed nothing has lost nothing.
  if (done.change === undefined) return 'committed'
  if (stored === undefined || stored.row.version > done.version) return 'unknown'
  const { version, updated_at: updatedAt } = stored.row
  return version === done.version && updatedAt === done.change.contact._updatedAt ? 'committed' : 'undone'
}
