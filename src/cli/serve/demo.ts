// What `serve --demo` shows: a contact with all that hangs on one. Its names are those of the documentation page's
// examples.

import type { Kysely } from 'kysely'
import type { Tables } from '../../store/tables.js'
import { CommandError } from '../errors.js'
import { issueToken } from '../token.js'

export const demoUser = 'ann'
const demoContact = 'maria'
const demoToken = 'serve --demo'

/**
 * Fills an empty database; one that holds the demo stays as it is.
 *
 * @throws {CommandError} when somebody else's data is in it
 */
export async function fillDemo (db: Kysely<Tables>, file: string): Promise<void> {
  await db.transaction().execute(async (transaction) => {
    if (!await putMark(transaction)) return
    if (!await isEmpty(transaction)) {
      throw new CommandError(`${file} holds other data than the demo: leave --demo out, or name a new file with --database`)
    }
    await putUser(transaction)
    await putContact(transaction)
  })
}

/** The demo is known by its inquiry, because there is a Maria elsewhere too. Written first, so that two starts take turns. */
async function putMark (db: Kysely<Tables>): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await db
    .insertInto('omnichannel_inquiry')
    .values({ id: 'demo-inquiry', room_id: 'room-1', visitor_id: 'visitor-1', name: 'Maria', updated_at: now() })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirstOrThrow()
  return numInsertedOrUpdatedRows === 1n
}

async function isEmpty (db: Kysely<Tables>): Promise<boolean> {
  for (const table of ['omnichannel_contact', 'omnichannel_user', 'omnichannel_custom_field'] as const) {
    if (await db.selectFrom(table as 'omnichannel_contact').select('id').limit(1).executeTakeFirst() !== undefined) return false
  }
  return true
}

async function putUser (db: Kysely<Tables>): Promise<void> {
  await db.insertInto('omnichannel_user').values({ id: demoUser, username: demoUser, name: 'Ann Lee', active: 1 }).execute()
  await db.insertInto('omnichannel_user_role').values({ user_id: demoUser, role: 'livechat-agent' }).execute()
}

async function putContact (db: Kysely<Tables>): Promise<void> {
  const chat = { last_chat_id: 'room-1', last_chat_at: now() }
  const field = { scope: 'visitor', visibility: 'visible' }
  await db.insertInto('omnichannel_custom_field').values([
    { id: 'plan', label: 'Plan', required: 1, regexp: '^(free|silver|gold)$', ...field },
    { id: 'customerNumber', label: 'Customer number', required: 0, regexp: '^[0-9]{4,10}$', ...field }
  ]).execute()
  await db.insertInto('omnichannel_contact').values({
    id: demoContact,
    name: 'Maria',
    contact_manager: null,
    custom_fields: '{"plan":"silver"}',
    conflicting_fields: '[{"field":"name","value":"Mary"}]',
    unknown: 1,
    pre_registration: 0,
    ...chat,
    enabled: 1,
    version: 1,
    created_at: now(),
    updated_at: now()
  }).execute()
  await db.insertInto('omnichannel_contact_email').values({ contact_id: demoContact, position: 0, address: 'maria@example.com' }).execute()
  await db.insertInto('omnichannel_contact_phone').values({ contact_id: demoContact, position: 0, phone_number: '+1 555 0100' }).execute()
  await db.insertInto('omnichannel_contact_channel').values({
    contact_id: demoContact,
    position: 0,
    name: 'Live chat',
    visitor_id: 'visitor-1',
    source_type: 'widget',
    source_id: null,
    blocked: 0,
    verified: 0,
    verified_at: null,
    field: null,
    value: null,
    details: '{"type":"widget","label":"example.com"}',
    ...chat
  }).execute()
  await db.insertInto('omnichannel_room').values({ id: 'room-1', contact_id: demoContact, fname: 'Maria', updated_at: now() }).execute()
  await db.insertInto('omnichannel_subscription').values({
    id: 'subscription-1', room_id: 'room-1', visitor_id: 'visitor-1', name: 'Maria', fname: 'Maria', updated_at: now()
  }).execute()
}

function now (): string {
  return new Date().toISOString()
}

/** A new token for the demo's user; the one of the last start ends with this. */
export async function issueDemoToken (db: Kysely<Tables>): Promise<string> {
  return await db.transaction().execute(async (transaction) => {
    await transaction.deleteFrom('omnichannel_auth_token').where('user_id', '=', demoUser).where('name', '=', demoToken).execute()
    return await issueToken(transaction, demoUser, demoToken, null)
  })
}

/** The update of the demo contact, on one line, ready to paste. */
export function demoCurl (url: string, token: string): string {
  const body = {
    contactId: demoContact,
    name: 'Maria Silva',
    emails: ['maria.silva@example.com'],
    phones: ['+1 555 0123'],
    customFields: { plan: 'gold', customerNumber: '12345' },
    contactManager: demoUser
  }
  return `curl -i -X POST '${url}/api/v1/omnichannel/contacts.update' -H 'Content-Type: application/json' ` +
    `-H 'X-User-Id: ${demoUser}' -H 'X-Auth-Token: ${token}' -d '${JSON.stringify(body)}'`
}
