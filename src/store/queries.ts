import { sql, type Kysely, type OnConflictBuilder } from 'kysely'
import { check, many, one, write } from './operation.js'
import type { ContactRow, Tables } from './tables.js'

/** The tables of the cacheable queries. No update writes them. */
export const cacheableTables = [
  'omnichannel_user', 'omnichannel_user_role', 'omnichannel_role_permission', 'omnichannel_auth_token', 'omnichannel_custom_field'
] as const satisfies ReadonlyArray<keyof Tables>

/** The permission to update contacts. */
export const UPDATE_PERMISSION = 'update-livechat-contact'

/** The active user of a token, when the token expires, and whether the user has the permission. */
export const findCaller = one((db, caller: { userId: string, hashedToken: string, permission: string }) => db
  .selectFrom('omnichannel_auth_token as token')
  .innerJoin('omnichannel_user as user', 'user.id', 'token.user_id')
  .select(['user.id', 'user.username', 'user.name', 'token.expires_at'])
  .select((where) => where.exists(selectGrants(db, caller.userId, caller.permission)).as('granted'))
  .where('token.hashed_token', '=', caller.hashedToken)
  .where('token.user_id', '=', caller.userId)
  .where('user.active', '=', 1)
  // Leave out PostgreSQL's -infinity. It would be read as NULL, which is a token that never expires.
  .where((where) => where.or([where('token.expires_at', 'is', null), where('token.expires_at', '>', '1970-01-01T00:00:00.000Z')])), { cacheable: true })

export const findPermission = one((db, { userId, permission }: { userId: string, permission: string }) =>
  selectGrants(db, userId, permission).limit(1), { cacheable: true })

function selectGrants (db: Kysely<Tables>, userId: string, permission: string) {
  return db
    .selectFrom('omnichannel_user_role as held')
    .innerJoin('omnichannel_role_permission as grant', 'grant.role', 'held.role')
    .select('grant.role')
    .where('held.user_id', '=', userId)
    .where('grant.permission', '=', permission)
}

/** The first query of an update. On PostgreSQL it waits for the lock, and later queries see what was committed meanwhile. */
export const findEnabledContact = one((db, { contactId }: { contactId: string }, engineSql) => db
  .selectFrom('omnichannel_contact')
  .select([
    'id', 'name', 'contact_manager', 'unknown', 'pre_registration', 'last_chat_id', 'last_chat_at', 'version', 'created_at', 'updated_at', 'update_id'
  ])
  // A view or table of the host's may have NULL.
  .select((row) => row.fn.coalesce('custom_fields', sql.lit('{}')).as('custom_fields'))
  .select((row) => row.fn.coalesce('conflicting_fields', sql.lit('[]')).as('conflicting_fields'))
  .where('id', '=', contactId)
  .where('enabled', '=', 1)
  .$if(engineSql.locksRows, (query) => query.forNoKeyUpdate()))

/** The last update of a contact, also of a disabled one. On PostgreSQL it waits for a transaction that has locked the contact. */
export const findLastUpdate = one((db, { contactId }: { contactId: string }, engineSql) => db
  .selectFrom('omnichannel_contact')
  .select(['update_id', 'version', 'created_at'])
  .where('id', '=', contactId)
  .$if(engineSql.locksRows, (query) => query.forNoKeyUpdate()))

export const listChannels = many((db, { contactId }: { contactId: string }) => db
  .selectFrom('omnichannel_contact_channel')
  .select([
    'name', 'visitor_id', 'source_type', 'source_id', 'blocked', 'verified', 'verified_at', 'field', 'value', 'details',
    'last_chat_id', 'last_chat_at'
  ])
  .where('contact_id', '=', contactId)
  .orderBy('position'))

export const findAgent = one((db, { userId }: { userId: string }) => db
  .selectFrom('omnichannel_user as user')
  .innerJoin('omnichannel_user_role as held', 'held.user_id', 'user.id')
  .select('user.id')
  .where('user.id', '=', userId)
  .where('held.role', '=', 'livechat-agent'), { cacheable: true })

/** In the order of insertion, which decides which error is reported first. */
export const listAllowedCustomFields = many((db, _: object, engineSql) => db
  .selectFrom('omnichannel_custom_field')
  .select(['id', 'label', 'required', 'regexp'])
  .where('scope', '=', 'visitor')
  .where('visibility', '!=', 'hidden')
  .orderBy(engineSql.insertionOrder), { cacheable: true })

export const updateContactRow = writeContactRow(true)

/** Leaves out the JSON columns, which SQLite would validate again. */
export const updateContactRowExceptJson = writeContactRow(false)

function writeContactRow (writesJson: boolean) {
  return write((db, contact: ContactRow) => db
    .updateTable('omnichannel_contact')
    .set((row) => ({
      name: contact.name,
      contact_manager: contact.contact_manager,
      ...writesJson && { custom_fields: contact.custom_fields, conflicting_fields: contact.conflicting_fields },
      unknown: 0,
      version: row('version', '+', 1),
      updated_at: contact.updated_at,
      update_id: contact.update_id
    }))
    .where('id', '=', contact.id))
}

/** Checks that the contact has our update, and finds its version. A trigger or rule of the host may have changed either. */
export const checkLastUpdate = check((db, { contactId, updateId }: { contactId: string, updateId: string }) =>
  db.selectNoFrom(
    db.selectFrom('omnichannel_contact').select('version').where('id', '=', contactId).where('update_id', '=', updateId).as('value')
  ))

/** The queries of a contact's list. The tables of e-mail addresses and phone numbers differ only in two names. */
function listQueries (...names: ['omnichannel_contact_email', 'address'] | ['omnichannel_contact_phone', 'phone_number']) {
  // Kysely cannot infer the types of a union of tables.
  const [table, valueColumn] = names as ['omnichannel_contact_email', 'address']

  const replace = (conflict: OnConflictBuilder<Tables, typeof table>) => conflict
    .columns(['contact_id', 'position'])
    .doUpdateSet((row) => ({ [valueColumn]: row.ref(`excluded.${valueColumn}`) }))

  return {
    list: many((db, { contactId }: { contactId: string }) => db
      .selectFrom(table)
      .select(['position', `${valueColumn} as value`])
      .where('contact_id', '=', contactId)
      .orderBy('position')),

    /** Writes the items from a position on. The list is one parameter, so its length does not change the SQL. */
    put: write((db, { contactId, position, items }: { contactId: string, position: number, items: readonly string[] }, engineSql) => db
      .insertInto(table)
      .columns(['contact_id', 'position', valueColumn])
      .expression(db
        .selectFrom(engineSql.items(items))
        .select([sql<string>`${contactId}`.as('contact_id'), 'item.key', 'item.value'])
        .where('item.key', '>=', position))
      .onConflict(replace)),

    /** Writes one item, in half the time of `put`. */
    putItem: write((db, { contactId, position, value }: { contactId: string, position: number, value: string }) => db
      .insertInto(table)
      .values({ contact_id: contactId, position, [valueColumn as 'address']: value })
      .onConflict(replace)),

    deleteFromPosition: write((db, { contactId, position }: { contactId: string, position: number }) => db
      .deleteFrom(table)
      .where('contact_id', '=', contactId)
      .where('position', '>=', position)),

    /** Checks that no item is left at this position or after it. Selects NULL if there is one. */
    checkNoneFromPosition: check((db, { contactId, position }: { contactId: string, position: number }) => db
      .selectFrom(table)
      .select((row) => row.case().when(row.fn.countAll(), '=', row.lit(0)).then(row.lit(1)).end().as('value'))
      .where('contact_id', '=', contactId)
      .where('position', '>=', position))
  }
}

export const emails = listQueries('omnichannel_contact_email', 'address')
export const phones = listQueries('omnichannel_contact_phone', 'phone_number')

export const renameRooms = write((db, { contactId, name, now }: { contactId: string, name: string, now: string }) => db
  .updateTable('omnichannel_room')
  .set({ fname: name, updated_at: now })
  .where('contact_id', '=', contactId))

export const renameSubscriptions = write((db, { visitorId, name, now }: { visitorId: string, name: string, now: string }) => db
  .updateTable('omnichannel_subscription')
  .set({ name, fname: name, updated_at: now })
  .where('visitor_id', '=', visitorId))

export const renameInquiries = write((db, { visitorId, name, now }: { visitorId: string, name: string, now: string }) => db
  .updateTable('omnichannel_inquiry')
  .set({ name, updated_at: now })
  .where('visitor_id', '=', visitorId))

export const addToStatistic = write((db, { name, count }: { name: string, count: number }) => db
  .insertInto('omnichannel_statistic')
  .values({ name, value: count })
  .onConflict((conflict) => conflict
    .column('name')
    .doUpdateSet((row) => ({ value: row('omnichannel_statistic.value', '+', row.ref('excluded.value')) }))))

/** The response stored for a key after `since`, and whether older responses of any key are stored. Always returns one row with both. */
export const findResponse = one((db, { userId, key, since }: { userId: string, key: string, since: string }) => db
  .selectFrom(db.selectNoFrom(sql<number>`1`.as('constant')).as('one_row'))
  .leftJoin('omnichannel_idempotency_key as stored', (join) => join
    .on('stored.user_id', '=', userId).on('stored.key', '=', key).on('stored.created_at', '>', since))
  .select(['stored.fingerprint', 'stored.version', 'stored.answer'])
  .select((where) => where.exists(selectExpired(db, since).select('key')).as('any_expired')))

type ResponseToStore = Record<'userId' | 'key' | 'fingerprint' | 'contactId' | 'answer' | 'now' | 'since', string>

export const putResponse = write((db, response: ResponseToStore) => db
  .insertInto('omnichannel_idempotency_key')
  .values({
    user_id: response.userId,
    key: response.key,
    fingerprint: response.fingerprint,
    contact_id: response.contactId,
    // The stored version, because a trigger of the host may have changed the version that we wrote.
    version: db.selectFrom('omnichannel_contact')
      .select((row) => row.fn.coalesce(row.fn.max('version'), sql<number>`0`).as('version'))
      .where('id', '=', response.contactId),
    answer: response.answer,
    created_at: response.now
  })
  // If another transaction used this key meanwhile, violate NOT NULL on purpose: `isTransient` retries and then finds its response.
  .onConflict((conflict) => conflict.columns(['user_id', 'key']).doUpdateSet((row) => ({
    fingerprint: row.ref('excluded.fingerprint'),
    contact_id: row.ref('excluded.contact_id'),
    version: row.case().when('omnichannel_idempotency_key.created_at', '<=', response.since).then(row.ref('excluded.version')).end().$castTo<number>(),
    answer: row.ref('excluded.answer'),
    created_at: row.ref('excluded.created_at')
  }))))

/** Deletes only the oldest expired responses, so that an update stays fast. */
export const deleteExpiredResponses = write((db, { since }: { since: string }, engineSql) => db
  .deleteFrom('omnichannel_idempotency_key')
  .where((where) => where(
    where.refTuple('user_id', 'key'), 'in', selectExpired(db, since)
      .select(['user_id', 'key'])
      // Do not wait for rows that another transaction is deleting.
      .$if(engineSql.locksRows, (query) => query.forUpdate().skipLocked())
      .$asTuple('user_id', 'key'))))

function selectExpired (db: Kysely<Tables>, since: string) {
  return db.selectFrom('omnichannel_idempotency_key').where('created_at', '<=', since).orderBy('created_at').limit(20)
}
