// Kysely on SQLite as its documentation shows it: SqliteDialect, and one asynchronous transaction for each request.

import type Database from 'better-sqlite3'
import type { FastifyInstance } from 'fastify'
import { Kysely, sql, SqliteDialect, type Transaction } from 'kysely'
import type { Contact, SqliteTables, UpdateContactBody } from '../../src/index.js'
import { applyUpdate, isSame, toContact, type ChannelRow, type Stored } from './update-rules.js'
import { addRoute, Refusal } from './route.js'

export function addPlainKysely (app: FastifyInstance, database: Database.Database): void {
  const db = new Kysely<SqliteTables>({ dialect: new SqliteDialect({ database }) })
  addRoute(app, {
    findCaller: async (userId, hashedToken) => {
      const caller = await db.selectFrom('omnichannel_auth_token as token').innerJoin('omnichannel_user as user', 'user.id', 'token.user_id')
        .select((eb) => eb.exists(eb.selectFrom('omnichannel_user_role as held')
          .innerJoin('omnichannel_role_permission as grants', 'grants.role', 'held.role').select('grants.role')
          .whereRef('held.user_id', '=', 'token.user_id').where('grants.permission', '=', 'update-livechat-contact')).as('has_permission'))
        .where('token.hashed_token', '=', hashedToken).where('token.user_id', '=', userId).where('user.active', '=', 1)
        .where((eb) => eb.or([eb('token.expires_at', 'is', null), eb('token.expires_at', '>', new Date().toISOString())])).executeTakeFirst()
      return caller && { hasPermission: Number(caller.has_permission) === 1 }
    },
    update: async (body) => await db.transaction().execute(async (trx) => await update(trx, body))
  })
}

async function update (trx: Transaction<SqliteTables>, body: UpdateContactBody): Promise<Contact> {
  const stored = await read(trx, body)
  const changed = applyUpdate(body, stored)
  if (changed === undefined) return toContact(stored)

  const { row: { id, name, contact_manager, custom_fields, conflicting_fields, updated_at }, emails, phones, channels } = changed
  await trx.updateTable('omnichannel_contact').set((eb) => ({
    name, contact_manager, updated_at, unknown: 0, version: eb('version', '+', 1),
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
  const conflicts = stored.row.conflicting_fields.length
  if (body.wipeConflicts === true && conflicts > 0) {
    await trx.insertInto('omnichannel_statistic').values({ name: 'Resolved_Conflicts_Count', value: conflicts })
      .onConflict((conflict) => conflict.column('name').doUpdateSet((eb) => ({
        value: eb('omnichannel_statistic.value', '+', eb.ref('excluded.value'))
      }))).execute()
  }
  if (name !== stored.row.name) {
    const visitors = channels.map((channel) => channel.visitor_id)
    await trx.updateTable('omnichannel_room').set({ fname: name, updated_at }).where('contact_id', '=', id).execute()
    if (visitors.length > 0) {
      await trx.updateTable('omnichannel_subscription').set({ name, fname: name, updated_at }).where('visitor_id', 'in', visitors).execute()
      await trx.updateTable('omnichannel_inquiry').set({ name, updated_at }).where('visitor_id', 'in', visitors).execute()
    }
  }
  return toContact(changed)
}

async function read (trx: Transaction<SqliteTables>, { contactId, contactManager, customFields }: UpdateContactBody): Promise<Stored> {
  const row = await trx.selectFrom('omnichannel_contact').selectAll().where('id', '=', contactId).where('enabled', '=', 1).executeTakeFirst()
  if (row === undefined) throw new Refusal(400, 'error-contact-not-found')
  const emails = await trx.selectFrom('omnichannel_contact_email').select('address')
    .where('contact_id', '=', contactId).orderBy('position').execute()
  const phones = await trx.selectFrom('omnichannel_contact_phone').select('phone_number')
    .where('contact_id', '=', contactId).orderBy('position').execute()
  const channels = await trx.selectFrom('omnichannel_contact_channel').selectAll()
    .where('contact_id', '=', contactId).orderBy('position').execute()
  const agent = contactManager == null || contactManager === ''
    ? undefined
    : await trx.selectFrom('omnichannel_user as user').innerJoin('omnichannel_user_role as held', 'held.user_id', 'user.id')
        .select('user.id').where('user.id', '=', contactManager).where('held.role', '=', 'livechat-agent').execute()
  const fields = customFields == null
    ? undefined
    : await trx.selectFrom('omnichannel_custom_field').select(['id', 'label', 'required', 'regexp'])
        .where('scope', '=', 'visitor').where('visibility', '!=', 'hidden').orderBy(sql`rowid`).execute()
  return {
    row: {
      ...row,
      custom_fields: JSON.parse(row.custom_fields),
      conflicting_fields: JSON.parse(row.conflicting_fields),
      unknown: row.unknown === 1,
      pre_registration: row.pre_registration === 1
    },
    emails: emails.map((email) => email.address),
    phones: phones.map((phone) => phone.phone_number),
    channels: channels.map((channel): ChannelRow => ({
      ...channel, details: JSON.parse(channel.details), blocked: channel.blocked === 1, verified: channel.verified === 1
    })),
    isAgent: agent && agent.length > 0,
    customFields: fields?.map((field) => ({ ...field, required: field.required === 1 }))
  }
}
