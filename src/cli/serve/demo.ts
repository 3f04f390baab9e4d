// The data of `serve --demo`: a contact with all kinds of rows. The examples of the documentation page use the same names.

import type { Insertable, Kysely } from 'kysely'
import type { Tables } from '../../store/tables.js'
import { CommandError } from '../errors.js'
import type { OpenDatabase } from '../shared.js'
import { issueToken } from '../token.js'

const demoUser = 'ann'
const demoContact = 'maria'
const demoTokenName = 'serve --demo'

type Rows = { [Table in keyof Tables]?: Array<Insertable<Tables[Table]>> }

function demoRows (): Rows {
  const firstOfContact = { contact_id: demoContact, position: 0 }
  const chat = { last_chat_id: 'room-1', last_chat_at: new Date().toISOString() }
  return {
    omnichannel_user: [{ id: demoUser, username: demoUser, name: 'Ann Lee' }],
    omnichannel_user_role: [{ user_id: demoUser, role: 'livechat-agent' }],
    omnichannel_custom_field: [
      { id: 'plan', label: 'Plan', required: 1, regexp: '^(free|silver|gold)$' },
      { id: 'customerNumber', label: 'Customer number', required: 0, regexp: '^[0-9]{4,10}$' }
    ],
    omnichannel_contact: [{
      id: demoContact, name: 'Maria', custom_fields: '{"plan":"silver"}', conflicting_fields: '[{"field":"name","value":"Mary"}]', unknown: 1, ...chat
    }],
    omnichannel_contact_email: [{ ...firstOfContact, address: 'maria@example.com' }],
    omnichannel_contact_phone: [{ ...firstOfContact, phone_number: '+1 555 0100' }],
    omnichannel_contact_channel: [{
      ...firstOfContact, name: 'Live chat', visitor_id: 'visitor-1', source_type: 'widget', details: '{"type":"widget","label":"example.com"}', ...chat
    }],
    omnichannel_room: [{ id: 'room-1', contact_id: demoContact, fname: 'Maria' }],
    omnichannel_subscription: [{ id: 'subscription-1', room_id: 'room-1', visitor_id: 'visitor-1', name: 'Maria', fname: 'Maria' }]
  }
}

/** Fills an empty database. A database that holds the demo stays as it is, and one with other data is refused. */
export async function fillDemo ({ db, name }: OpenDatabase): Promise<void> {
  await db.transaction().execute(async (transaction) => {
    // This row marks a demo database, because other databases may have a contact `maria` too. It is written first: a second start waits for it.
    const { numInsertedOrUpdatedRows } = await transaction
      .insertInto('omnichannel_inquiry')
      .values({ id: 'demo-inquiry', room_id: 'room-1', visitor_id: 'visitor-1', name: 'Maria' })
      .onConflict((conflict) => conflict.doNothing())
      .executeTakeFirstOrThrow()
    if (numInsertedOrUpdatedRows === 0n) return
    const other = await transaction.selectFrom('omnichannel_contact').select('id')
      .union(transaction.selectFrom('omnichannel_user').select('id'))
      .union(transaction.selectFrom('omnichannel_custom_field').select('id'))
      .limit(1).executeTakeFirst()
    if (other !== undefined) {
      throw new CommandError(`${name} holds other data than the demo: leave --demo out, or name a new file with --database`)
    }
    for (const [table, rows] of Object.entries(demoRows())) await transaction.insertInto(table as keyof Tables).values(rows).execute()
  })
}

/** Returns lines that tell how to update the demo contact with a new token. Deletes the token of the last start. */
export async function describeDemo (db: Kysely<Tables>, url: string): Promise<string[]> {
  const token = await db.transaction().execute(async (transaction) => {
    await transaction.deleteFrom('omnichannel_auth_token').where('user_id', '=', demoUser).where('name', '=', demoTokenName).execute()
    return await issueToken(transaction, demoUser, demoTokenName, null)
  })
  const body = {
    contactId: demoContact,
    name: 'Maria Silva',
    emails: ['maria.silva@example.com'],
    phones: ['+1 555 0123'],
    customFields: { plan: 'gold', customerNumber: '12345' },
    contactManager: demoUser
  }
  // On one line, ready to paste.
  const curl = `curl -i -X POST '${url}/api/v1/omnichannel/contacts.update' -H 'Content-Type: application/json' ` +
    `-H 'X-User-Id: ${demoUser}' -H 'X-Auth-Token: ${token}' -d '${JSON.stringify(body)}'`
  return [
    '', 'This updates the demo contact:', '', curl, '',
    `So does "Try it out" on the documentation page, after "Authorize" there with the userId ${demoUser} and this authToken:`, '', token, ''
  ]
}
