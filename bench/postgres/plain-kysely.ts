// The same with Kysely as its documentation shows it: PostgresDialect, and a transaction a request.

import type { FastifyInstance } from 'fastify'
import { Kysely, PostgresDialect, type Transaction } from 'kysely'
import type { Pool } from 'pg'
import type { Contact, UpdateContactBody } from '../../src/rules/wire-schemas.js'
import type { PostgresTables } from '../../src/store/tables.js'
import type { Dist } from '../contestants/dist.js'
import { isSame } from '../contestants/is-same.js'
import { change, toContact, type Stored } from './contact.js'
import { addRoute } from './route.js'

export function addPlainKysely (app: FastifyInstance, dist: Dist, pool: Pool): void {
  const db = new Kysely<PostgresTables>({ dialect: new PostgresDialect({ pool }) })
  addRoute(app, dist, {
    findCaller: async (userId, hashedToken) => {
      const caller = await db.selectFrom('omnichannel_auth_token as token').innerJoin('omnichannel_user as user', 'user.id', 'token.user_id')
        .select((eb) => eb.exists(eb.selectFrom('omnichannel_user_role as held')
          .innerJoin('omnichannel_role_permission as granted', 'granted.role', 'held.role').select('granted.role')
          .whereRef('held.user_id', '=', 'token.user_id').where('granted.permission', '=', 'update-livechat-contact')).as('granted'))
        .where('token.hashed_token', '=', hashedToken).where('token.user_id', '=', userId).where('user.active', '=', true)
        .where((eb) => eb.or([eb('token.expires_at', 'is', null), eb('token.expires_at', '>', new Date())])).executeTakeFirst()
      return caller && { granted: caller.granted === true }
    },
    update: async (body) => await db.transaction().execute(async (trx) => await update(trx, dist, body))
  })
}

async function update (trx: Transaction<PostgresTables>, dist: Dist, body: UpdateContactBody): Promise<Contact> {
  const stored = await read(trx, dist, body)
  const changed = change(dist, body, stored)
  if (changed === undefined) return toContact(stored)

  const { row: { id, name, contact_manager, custom_fields, conflicting_fields, unknown, updated_at }, emails, phones, channels } = changed
  await trx.updateTable('omnichannel_contact').set((eb) => ({
    name, contact_manager, unknown, updated_at, version: eb('version', '+', 1),
    custom_fields: JSON.stringify(custom_fields), conflicting_fields: JSON.stringify(conflicting_fields)
  })).where('id', '=', id).execute()
  if (!isSame(emails, stored.emails)) {
    await trx.deleteFrom('omnichannel_contact_email').where('contact_id', '=', id).execute()
    const values = emails.map((address, position) => ({ contact_id: id, position, address }))
    if (values.length > 0) await trx.insertInto('omnichannel_contact_email').values(values).execute()
  }
  if (!isSame(phones, stored.phones)) {
    await trx.deleteFrom('omnichannel_contact_phone').where('contact_id', '=', id).execute()
    const values = phones.map((phone, position) => ({ contact_id: id, position, phone_number: phone }))
    if (values.length > 0) await trx.insertInto('omnichannel_contact_phone').values(values).execute()
  }
  if (name !== stored.row.name) {
    const visitors = channels.map((channel) => channel.visitor_id)
    await trx.updateTable('omnichannel_room').set({ fname: name, updated_at }).where('contact_id', '=', id).execute()
    if (visitors.length > 0) {
      await trx.updateTable('omnichannel_subscription').set({ name, fname: name, updated_at }).where('visitor_id', 'in', visitors).execute()
      await trx.updateTable('omnichannel_inquiry').set({ name, updated_at }).where('visitor_id', 'in', visitors).execute()
    }
  }
  const { length } = stored.row.conflicting_fields
  if (body.wipeConflicts === true && length > 0) {
    await trx.insertInto('omnichannel_statistic').values({ name: 'Resolved_Conflicts_Count', value: length })
      .onConflict((conflict) => conflict.column('name').doUpdateSet((eb) => ({
        value: eb('omnichannel_statistic.value', '+', eb.ref('excluded.value'))
      }))).execute()
  }
  return toContact(changed)
}

async function read (trx: Transaction<PostgresTables>, { index }: Dist, body: UpdateContactBody): Promise<Stored> {
  const { contactId, contactManager, customFields } = body
  const row = await trx.selectFrom('omnichannel_contact')
    .select(['id', 'name', 'contact_manager', 'custom_fields', 'conflicting_fields', 'unknown', 'pre_registration', 'last_chat_id', 'last_chat_at',
      'created_at', 'updated_at'])
    .where('id', '=', contactId).where('enabled', '=', true).forUpdate().executeTakeFirst()
  if (row === undefined) throw new index.ContactNotFoundError()
  const emails = await trx.selectFrom('omnichannel_contact_email').select('address')
    .where('contact_id', '=', contactId).orderBy('position').execute()
  const phones = await trx.selectFrom('omnichannel_contact_phone').select('phone_number')
    .where('contact_id', '=', contactId).orderBy('position').execute()
  const channels = await trx.selectFrom('omnichannel_contact_channel')
    .select(['name', 'visitor_id', 'source_type', 'source_id', 'blocked', 'verified', 'verified_at', 'field', 'value', 'details',
      'last_chat_id', 'last_chat_at'])
    .where('contact_id', '=', contactId).orderBy('position').execute()
  const agent = contactManager == null || contactManager === ''
    ? undefined
    : await trx.selectFrom('omnichannel_user as user').innerJoin('omnichannel_user_role as held', 'held.user_id', 'user.id')
        .select('user.id').where('user.id', '=', contactManager).where('held.role', '=', 'livechat-agent').execute()
  return {
    row,
    emails: emails.map((email) => email.address),
    phones: phones.map((phone) => phone.phone_number),
    channels,
    isAgent: agent && agent.length > 0,
    customFields: customFields == null
      ? undefined
      : await trx.selectFrom('omnichannel_custom_field').select(['id', 'label', 'required', 'regexp'])
          .where('scope', '=', 'visitor').where('visibility', '!=', 'hidden').orderBy('position').execute()
  }
}
