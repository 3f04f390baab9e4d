// Kysely as its documentation shows it: SqliteDialect, and an asynchronous transaction a request.

import type Database from 'better-sqlite3'
import type { FastifyInstance } from 'fastify'
import { Kysely, sql, SqliteDialect } from 'kysely'
import type { Contact, UpdateContactBody } from '../../src/rules/wire-schemas.js'
import type { ContactTable, Tables } from '../../src/store/tables.js'
import type { Dist } from './dist.js'
import { addRoute } from './route.js'

export function addPlainKysely (app: FastifyInstance, dist: Dist, database: Database.Database): void {
  const { ContactNotFoundError, ContactManagerNotFoundError, InvalidOperationError } = dist.index
  const beginPatterns = dist.patterns.createPatterns()
  const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database }) })

  async function update (body: UpdateContactBody): Promise<Contact> {
    return await db.transaction().execute(async (trx) => {
      const { contactId, name, emails, phones, customFields, contactManager, wipeConflicts } = body
      const row = await trx.selectFrom('omnichannel_contact').selectAll()
        .where('id', '=', contactId).where('enabled', '=', 1).executeTakeFirst()
      if (row === undefined) throw new ContactNotFoundError()
      const storedEmails = await trx.selectFrom('omnichannel_contact_email').select('address')
        .where('contact_id', '=', contactId).orderBy('position').execute()
      const storedPhones = await trx.selectFrom('omnichannel_contact_phone').select('phone_number')
        .where('contact_id', '=', contactId).orderBy('position').execute()
      const channels = await trx.selectFrom('omnichannel_contact_channel').selectAll()
        .where('contact_id', '=', contactId).orderBy('position').execute()
      const contactOf = (row: ContactTable): Contact => dist.contact.toContact({
        row,
        emails: emails ?? storedEmails.map((email) => email.address),
        phones: phones ?? storedPhones.map((phone) => phone.phone_number),
        channels
      })

      if (contactManager != null && contactManager !== '') {
        const agent = await trx.selectFrom('omnichannel_user as user').innerJoin('omnichannel_user_role as held', 'held.user_id', 'user.id')
          .select('user.id').where('user.id', '=', contactManager).where('held.role', '=', 'livechat-agent').executeTakeFirst()
        if (agent === undefined) throw new ContactManagerNotFoundError()
      }
      let merged = row.custom_fields
      if (customFields != null) {
        const allowed = await trx.selectFrom('omnichannel_custom_field').select(['id', 'label', 'required', 'regexp'])
          .where('scope', '=', 'visitor').where('visibility', '!=', 'hidden').orderBy(sql`rowid`).execute()
        merged = dist.customFields.mergeCustomFields(allowed, row.custom_fields, customFields, beginPatterns(() => undefined))
      }
      if (name === '' && row.name !== '') throw new InvalidOperationError()
      const changes = [name, emails, phones, customFields, contactManager].some((part) => part != null) || wipeConflicts === true
      if (!changes) return contactOf(row)

      const now = new Date().toISOString()
      const change = {
        name: name ?? row.name,
        contact_manager: contactManager == null ? row.contact_manager : contactManager === '' ? null : contactManager,
        custom_fields: merged,
        conflicting_fields: wipeConflicts === true ? '[]' : row.conflicting_fields,
        unknown: 0,
        updated_at: now
      }
      await trx.updateTable('omnichannel_contact').set((eb) => ({ ...change, version: eb('version', '+', 1) }))
        .where('id', '=', contactId).execute()
      if (emails != null) {
        await trx.deleteFrom('omnichannel_contact_email').where('contact_id', '=', contactId).execute()
        const values = emails.map((address, position) => ({ contact_id: contactId, position, address }))
        if (values.length > 0) await trx.insertInto('omnichannel_contact_email').values(values).execute()
      }
      if (phones != null) {
        await trx.deleteFrom('omnichannel_contact_phone').where('contact_id', '=', contactId).execute()
        const values = phones.map((phone, position) => ({ contact_id: contactId, position, phone_number: phone }))
        if (values.length > 0) await trx.insertInto('omnichannel_contact_phone').values(values).execute()
      }
      const conflicts = JSON.parse(row.conflicting_fields) as unknown[]
      if (wipeConflicts === true && conflicts.length > 0) {
        await trx.insertInto('omnichannel_statistic').values({ name: 'Resolved_Conflicts_Count', value: conflicts.length })
          .onConflict((conflict) => conflict.column('name').doUpdateSet((eb) => ({
            value: eb('omnichannel_statistic.value', '+', eb.ref('excluded.value'))
          }))).execute()
      }
      if (change.name !== row.name) {
        const visitors = [...new Set(channels.map((channel) => channel.visitor_id))]
        await trx.updateTable('omnichannel_room').set({ fname: change.name, updated_at: now }).where('contact_id', '=', contactId).execute()
        await trx.updateTable('omnichannel_subscription').set({ name: change.name, fname: change.name, updated_at: now })
          .where('visitor_id', 'in', visitors).execute()
        await trx.updateTable('omnichannel_inquiry').set({ name: change.name, updated_at: now }).where('visitor_id', 'in', visitors).execute()
      }
      return contactOf({ ...row, ...change })
    })
  }

  addRoute(app, dist, {
    update,
    findUser: async (userId, hashedToken, now) => await db.selectFrom('omnichannel_auth_token as token')
      .innerJoin('omnichannel_user as user', 'user.id', 'token.user_id').select('user.id')
      .where('token.hashed_token', '=', hashedToken).where('token.user_id', '=', userId).where('user.active', '=', 1)
      .where((eb) => eb.or([eb('token.expires_at', 'is', null), eb('token.expires_at', '>', now)])).executeTakeFirst(),
    hasPermission: async ({ id }) => await db.selectFrom('omnichannel_user_role as held')
      .innerJoin('omnichannel_role_permission as granted', 'granted.role', 'held.role').select('granted.role')
      .where('held.user_id', '=', id).where('granted.permission', '=', 'update-livechat-contact').limit(1).executeTakeFirst() !== undefined
  })
}
