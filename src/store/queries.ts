// Every query of the plugin, in the words of the domain.

import { sql } from 'kysely'
import { build, many, one, write } from './sqlite/runner.js'

/** Who holds the token, and whether they have the permission: one look-up answers both questions. */
export const findCaller = one((caller: { userId: string, hashedToken: string, permission: string, now: string }) =>
  build
    .selectFrom('omnichannel_auth_token as token')
    .innerJoin('omnichannel_user as user', 'user.id', 'token.user_id')
    .select(['user.id', 'user.username', 'user.name'])
    .select((where) => where.exists(selectGrants(caller.userId, caller.permission)).as('granted'))
    .where('token.hashed_token', '=', caller.hashedToken)
    .where('token.user_id', '=', caller.userId)
    .where('user.active', '=', 1)
    .where((where) => where.or([where('token.expires_at', 'is', null), where('token.expires_at', '>', caller.now)])))

export const findPermission = one(({ userId, permission }: { userId: string, permission: string }) =>
  selectGrants(userId, permission).limit(1))

function selectGrants (userId: string, permission: string) {
  return build
    .selectFrom('omnichannel_user_role as held')
    .innerJoin('omnichannel_role_permission as grant', 'grant.role', 'held.role')
    .select('grant.role')
    .where('held.user_id', '=', userId)
    .where('grant.permission', '=', permission)
}

export const findEnabledContact = one(({ contactId }: { contactId: string }) =>
  build
    .selectFrom('omnichannel_contact')
    .select([
      'id', 'name', 'contact_manager', 'custom_fields', 'conflicting_fields', 'unknown', 'pre_registration',
      'last_chat_id', 'last_chat_at', 'created_at', 'updated_at'
    ])
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
    .select([
      'name', 'visitor_id', 'source_type', 'source_id', 'blocked', 'verified', 'verified_at', 'field', 'value', 'details',
      'last_chat_id', 'last_chat_at'
    ])
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

// A list arrives as one JSON text, so that a long one costs one statement too; rows that stay the same are not written.

export const putEmails = write(({ contactId, addresses }: { contactId: string, addresses: string }) =>
  build
    .insertInto('omnichannel_contact_email')
    .columns(['contact_id', 'position', 'address'])
    .expression(() => selectItems(contactId, addresses))
    .onConflict((conflict) => conflict
      .columns(['contact_id', 'position'])
      .doUpdateSet((row) => ({ address: row.ref('excluded.address') }))
      .whereRef('omnichannel_contact_email.address', '!=', (row) => row.ref('excluded.address'))))

export const deleteEmailsFrom = write(({ contactId, position }: { contactId: string, position: number }) =>
  build
    .deleteFrom('omnichannel_contact_email')
    .where('contact_id', '=', contactId)
    .where('position', '>=', position))

export const putPhones = write(({ contactId, phoneNumbers }: { contactId: string, phoneNumbers: string }) =>
  build
    .insertInto('omnichannel_contact_phone')
    .columns(['contact_id', 'position', 'phone_number'])
    .expression(() => selectItems(contactId, phoneNumbers))
    .onConflict((conflict) => conflict
      .columns(['contact_id', 'position'])
      .doUpdateSet((row) => ({ phone_number: row.ref('excluded.phone_number') }))
      .whereRef('omnichannel_contact_phone.phone_number', '!=', (row) => row.ref('excluded.phone_number'))))

export const deletePhonesFrom = write(({ contactId, position }: { contactId: string, position: number }) =>
  build
    .deleteFrom('omnichannel_contact_phone')
    .where('contact_id', '=', contactId)
    .where('position', '>=', position))

function selectItems (contactId: string, items: string) {
  return build
    .selectFrom(sql<{ key: number, value: string }>`json_each(${items})`.as('item'))
    .select([sql<string>`${contactId}`.as('contact_id'), 'item.key', 'item.value'])
    // Without a WHERE, SQLite takes ON CONFLICT for the ON of a join.
    .where(sql<boolean>`true`)
}

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
