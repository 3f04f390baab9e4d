// Every query of the plugin, in the words of the domain.

import { sql } from 'kysely'
import { build, many, one, write } from './statement.js'

export const findUserByToken = one(({ userId, hashedToken, now }: { userId: string, hashedToken: string, now: string }) =>
  build
    .selectFrom('omnichannel_auth_token as token')
    .innerJoin('omnichannel_user as user', 'user.id', 'token.user_id')
    .select(['user.id', 'user.username', 'user.name'])
    .where('token.hashed_token', '=', hashedToken)
    .where('token.user_id', '=', userId)
    .where('user.active', '=', 1)
    .where((where) => where.or([where('token.expires_at', 'is', null), where('token.expires_at', '>', now)])))

export const findPermission = one(({ userId, permission }: { userId: string, permission: string }) =>
  build
    .selectFrom('omnichannel_user_role as held')
    .innerJoin('omnichannel_role_permission as granted', 'granted.role', 'held.role')
    .select('granted.role')
    .where('held.user_id', '=', userId)
    .where('granted.permission', '=', permission)
    .limit(1))

export const findEnabledContact = one(({ contactId }: { contactId: string }) =>
  build
    .selectFrom('omnichannel_contact')
    .selectAll()
    .where('id', '=', contactId)
    .where('enabled', '=', 1))

export const listEmails = many(({ contactId }: { contactId: string }) =>
  build
    .selectFrom('omnichannel_contact_email')
    .select('address')
    .where('contact_id', '=', contactId)
    .orderBy('position'))

export const listPhones = many(({ contactId }: { contactId: string }) =>
  build
    .selectFrom('omnichannel_contact_phone')
    .select('phone_number')
    .where('contact_id', '=', contactId)
    .orderBy('position'))

export const listChannels = many(({ contactId }: { contactId: string }) =>
  build
    .selectFrom('omnichannel_contact_channel')
    .selectAll()
    .where('contact_id', '=', contactId)
    .orderBy('position'))

export const findAgent = one(({ userId }: { userId: string }) =>
  build
    .selectFrom('omnichannel_user as user')
    .innerJoin('omnichannel_user_role as held', 'held.user_id', 'user.id')
    .select('user.id')
    .where('user.id', '=', userId)
    .where('held.role', '=', 'livechat-agent'))

/** In the order of insertion, which decides what is reported first. */
export const listAllowedCustomFields = many((_: object) =>
  build
    .selectFrom('omnichannel_custom_field')
    .select(['id', 'label', 'required', 'regexp'])
    .where('scope', '=', 'visitor')
    .where('visibility', '!=', 'hidden')
    .orderBy(sql`rowid`))

export interface ContactChange {
  contactId: string
  name: string
  contactManager: string | null
  customFields: string
  conflictingFields: string
  now: string
}

export const updateContactRow = write((change: ContactChange) =>
  build
    .updateTable('omnichannel_contact')
    .set((row) => ({
      name: change.name,
      contact_manager: change.contactManager,
      custom_fields: change.customFields,
      conflicting_fields: change.conflictingFields,
      unknown: 0,
      version: row('version', '+', 1),
      updated_at: change.now
    }))
    .where('id', '=', change.contactId))

export const putEmail = write((email: { contactId: string, position: number, address: string }) =>
  build
    .insertInto('omnichannel_contact_email')
    .values({ contact_id: email.contactId, position: email.position, address: email.address })
    .onConflict((conflict) => conflict
      .columns(['contact_id', 'position'])
      .doUpdateSet((row) => ({ address: row.ref('excluded.address') }))))

export const deleteEmailsFrom = write(({ contactId, position }: { contactId: string, position: number }) =>
  build
    .deleteFrom('omnichannel_contact_email')
    .where('contact_id', '=', contactId)
    .where('position', '>=', position))

export const putPhone = write((phone: { contactId: string, position: number, phoneNumber: string }) =>
  build
    .insertInto('omnichannel_contact_phone')
    .values({ contact_id: phone.contactId, position: phone.position, phone_number: phone.phoneNumber })
    .onConflict((conflict) => conflict
      .columns(['contact_id', 'position'])
      .doUpdateSet((row) => ({ phone_number: row.ref('excluded.phone_number') }))))

export const deletePhonesFrom = write(({ contactId, position }: { contactId: string, position: number }) =>
  build
    .deleteFrom('omnichannel_contact_phone')
    .where('contact_id', '=', contactId)
    .where('position', '>=', position))

export const renameRooms = write(({ contactId, name, now }: { contactId: string, name: string, now: string }) =>
  build
    .updateTable('omnichannel_room')
    .set({ fname: name, updated_at: now })
    .where('contact_id', '=', contactId))

export const renameSubscriptions = write(({ visitorId, name, now }: { visitorId: string, name: string, now: string }) =>
  build
    .updateTable('omnichannel_subscription')
    .set({ name, fname: name, updated_at: now })
    .where('visitor_id', '=', visitorId))

export const renameInquiries = write(({ visitorId, name, now }: { visitorId: string, name: string, now: string }) =>
  build
    .updateTable('omnichannel_inquiry')
    .set({ name, updated_at: now })
    .where('visitor_id', '=', visitorId))

export const addToStatistic = write(({ name, count }: { name: string, count: number }) =>
  build
    .insertInto('omnichannel_statistic')
    .values({ name, value: count })
    .onConflict((conflict) => conflict
      .column('name')
      .doUpdateSet((row) => ({ value: row('omnichannel_statistic.value', '+', row.ref('excluded.value')) }))))
