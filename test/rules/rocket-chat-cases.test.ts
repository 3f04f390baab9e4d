import type { LightMyRequestResponse } from 'fastify'
import t from '../engines.js'
import { allRows, as, build, changes, type World } from '../build.js'

// What Rocket.Chat's own end-to-end tests of this endpoint do, told again on our world.

const invalid = (error: string): object => ({ success: false, error: `${error} [invalid-params]`, errorType: 'invalid-params' })
const written = { unknown: 0, version: 2, updated_at: 'moved' }

interface Case {
  situation: string
  body: object
  status: number
  /** The whole body of a refusal, or a part of the contact. */
  answer: object
  changed?: Record<string, unknown>
  headers?: Record<string, string>
  given?: (db: World['db']) => Promise<void>
}

const cases: Case[] = [
  {
    situation: 'an agent edits name, e-mails and phones: they are saved',
    body: { contactId: 'blank', name: 'Casey', emails: ['casey@example.com'], phones: ['123456'] },
    status: 200,
    answer: { _id: 'blank', name: 'Casey', emails: [{ address: 'casey@example.com' }], phones: [{ phoneNumber: '123456' }], unknown: false },
    changed: {
      'contact blank': { name: 'Casey', ...written },
      'contact_email blank 0': { contact_id: 'blank', position: 0, address: 'casey@example.com' },
      'contact_phone blank 0': { contact_id: 'blank', position: 0, phone_number: '123456' },
      'room room-3': { fname: 'Casey', updated_at: 'moved' }
    }
  },
  {
    situation: 'an unknown contact is saved for the first time: it is known',
    body: { contactId: 'maria', name: 'Maria' },
    status: 200,
    answer: { unknown: false },
    changed: { 'contact maria': written }
  },
  {
    situation: 'another agent becomes the manager: saved',
    body: { contactId: 'maria', contactManager: 'ann' },
    status: 200,
    answer: { contactManager: 'ann' },
    changed: { 'contact maria': { contact_manager: 'ann', ...written } }
  },
  {
    situation: 'custom fields that are registered and fit: saved',
    body: { contactId: 'blank', customFields: { plan: 'silver', note: 'x' } },
    status: 200,
    answer: { customFields: { plan: 'silver', note: 'x' } },
    changed: { 'contact blank': { custom_fields: '{"plan":"silver","note":"x"}', ...written } }
  },
  {
    situation: 'a custom field from before, not sent: kept',
    body: { contactId: 'maria', customFields: { plan: 'silver' } },
    status: 200,
    answer: { customFields: { plan: 'silver', legacy: 'kept' } },
    changed: { 'contact maria': { custom_fields: '{"plan":"silver","legacy":"kept"}', ...written } }
  },
  {
    situation: 'a custom field from before, sent with another value: kept as it was',
    body: { contactId: 'maria', customFields: { plan: 'gold', legacy: 'other' } },
    status: 200,
    answer: { customFields: { plan: 'gold', legacy: 'kept' } },
    changed: { 'contact maria': written }
  },
  {
    situation: 'a custom field that was never registered: refused',
    body: { contactId: 'maria', customFields: { plan: 'gold', other: 'x' } },
    status: 400,
    answer: { success: false, error: 'Custom field other is not allowed' }
  },
  {
    situation: 'a required custom field is left out: refused',
    body: { contactId: 'blank', customFields: { note: 'x' } },
    status: 400,
    answer: { success: false, error: 'Invalid value for Plan field' }
  },
  {
    situation: 'a custom field against its pattern: refused',
    body: { contactId: 'maria', customFields: { plan: 'bronze' } },
    status: 400,
    answer: { success: false, error: 'Invalid value for Plan field' }
  },
  {
    situation: 'conflicts are wiped: the list is empty',
    body: { contactId: 'maria', wipeConflicts: true },
    status: 200,
    answer: { conflictingFields: [] },
    changed: {
      'contact maria': { conflicting_fields: '[]', ...written },
      'statistic Resolved_Conflicts_Count': { name: 'Resolved_Conflicts_Count', value: 2 }
    }
  },
  {
    situation: 'the permission is taken from all roles: refused',
    body: { contactId: 'maria', name: 'X' },
    status: 403,
    answer: { success: false, error: 'User does not have the permissions required for this action [error-unauthorized]' },
    given: async (db) => { await db.exec('DELETE FROM omnichannel_role_permission') }
  },
  {
    situation: 'no credentials: refused',
    body: { contactId: 'maria', name: 'X' },
    headers: { 'x-user-id': 'ann', 'x-auth-token': '' },
    status: 401,
    answer: { success: false, error: 'You must be logged in to do this.', status: 'error', message: 'You must be logged in to do this.' }
  },
  { situation: 'a contact that is not there', body: { contactId: 'x', name: 'X' }, status: 400, answer: { success: false, error: 'error-contact-not-found' } },
  {
    situation: 'a manager who is not there',
    body: { contactId: 'maria', contactManager: 'x' },
    status: 400,
    answer: { success: false, error: 'error-contact-manager-not-found' }
  },
  { situation: 'no contactId', body: { name: 'X', emails: ['a@b'] }, status: 400, answer: invalid("must have required property 'contactId'") },
  { situation: 'e-mails are no array', body: { contactId: 'maria', emails: 'a@b' }, status: 400, answer: invalid('must be array') },
  { situation: 'e-mails are no texts', body: { contactId: 'maria', emails: [{ a: 1 }] }, status: 400, answer: invalid('must be string') },
  { situation: 'phones are no array', body: { contactId: 'maria', phones: '1' }, status: 400, answer: invalid('must be array') },
  { situation: 'phones are no texts', body: { contactId: 'maria', phones: [{ a: 1 }] }, status: 400, answer: invalid('must be string') },
  { situation: 'a property too many', body: { contactId: 'maria', another: 'x' }, status: 400, answer: invalid('must NOT have additional properties') }
]

for (const { situation, body, status, answer, changed = {}, headers = as('ann'), given } of cases) {
  t.test(situation, async (t) => {
    const { update, db } = await build(t)
    await given?.(db)
    const before = await allRows(db)
    const unchanged = (await update({ contactId: 'contactId' in body ? body.contactId : 'maria' })).json().contact
    const reply: LightMyRequestResponse = await update(body, headers)
    t.equal(reply.statusCode, status)
    t.strictSame(reply.json(), status === 200
      ? { contact: { ...unchanged, unknown: false, ...answer, _updatedAt: reply.json().contact._updatedAt }, success: true }
      : answer)
    t.strictSame(changes(before, await allRows(db)), changed)
  })
}
