// Checks after an update with a fault that the rows, the answers and the calls of the host's hooks fit each other.

import { isDeepStrictEqual } from 'node:util'

export type Row = Record<string, unknown>
/** All rows of our tables, and of the host's `history` and `journal`, without the prefix of their names. */
export type Rows = Record<string, Row[]>

/** A request and its reply. There is no reply if the client went away. */
export interface Request {
  /** The contact's new name. Only requests with the same key and body share it. */
  name: string
  key?: string | undefined
  reply?: { statusCode: number, body: string, headers: Record<string, unknown> } | undefined
}

export interface Observation {
  before: Rows
  after: Rows
  /** The requests of the scenario, the one under test first. */
  requests: Request[]
  /** The names that `onContactUpdated` was called with. */
  notified: string[]
  /** The names that `beforeCommit` was called with, if the requests have one that writes into `journal`. */
  called: string[] | undefined
  log: string[]
  /** Whether FOC_IN_DOUBT may be the answer to the first request. */
  mayBeInDoubt: boolean
  /** Whether the first update may be made although its client is gone. */
  mayBeDone: boolean
}

/** The body of a request. */
export function bodyOf (name: string): Row {
  return {
    contactId: 'maria', name, emails: [`${name}@exämple.com`], phones: ['1', name], wipeConflicts: true, contactManager: 'bob',
    customFields: { plan: 'silver' }
  }
}

/** Two tables of a host: a trigger writes each update of a contact into `history`, and `beforeCommit` writes into `journal`. */
const hostTables = {
  sqlite: `
    CREATE TABLE history (seq INTEGER PRIMARY KEY, name TEXT, update_id TEXT);
    CREATE TABLE journal (name TEXT);
    CREATE TRIGGER history_of_updates AFTER UPDATE ON omnichannel_contact WHEN new.update_id IS NOT old.update_id BEGIN
      INSERT INTO history (name, update_id) VALUES (new.name, new.update_id);
    END;
    CREATE TRIGGER history_of_deletions AFTER DELETE ON omnichannel_contact WHEN old.id = 'maria' BEGIN
      INSERT INTO history (name) VALUES ('deleted');
    END;`,
  postgres: `
    CREATE TABLE history (seq serial, name text, update_id text);
    CREATE TABLE journal (name text);
    CREATE FUNCTION write_history() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF TG_OP = 'DELETE' THEN INSERT INTO history (name) VALUES ('deleted');
      ELSIF NEW.update_id IS DISTINCT FROM OLD.update_id THEN INSERT INTO history (name, update_id) VALUES (NEW.name, NEW.update_id);
      END IF;
      RETURN NULL;
    END $$;
    CREATE TRIGGER history AFTER UPDATE OR DELETE ON omnichannel_contact FOR EACH ROW EXECUTE FUNCTION write_history();`
}

/** In the order in which foreign keys allow inserts. */
export const tables = ['contact', 'contact_email', 'contact_phone', 'contact_channel', 'room', 'subscription', 'inquiry', 'statistic', 'idempotency_key',
  'user', 'user_role', 'auth_token', 'history', 'journal']

export function fullName (table: string): string {
  return table === 'history' || table === 'journal' ? table : `omnichannel_${table}`
}

/** Adds the host's tables and an expired key, and saves all rows. */
export function setUpSql (engine: 'sqlite' | 'postgres'): string {
  return `${hostTables[engine]}
    INSERT INTO omnichannel_idempotency_key (user_id, key, fingerprint, contact_id, version, answer, created_at)
      VALUES ('ann', 'expired', '', 'maria', 1, '', '2020-01-01T00:00:00.000Z');
    ${tables.map((table) => `CREATE TABLE saved_${table} AS SELECT * FROM ${fullName(table)};`).join('')}`
}

/** Restores the saved rows. */
export const resetSql = `BEGIN;
  ${[...tables].reverse().map((table) => `DELETE FROM ${fullName(table)};`).join('')}
  ${tables.map((table) => `INSERT INTO ${fullName(table)} SELECT * FROM saved_${table};`).join('')}
  DELETE FROM history; COMMIT`

/** Puts both engines' rows into one form and order. */
export function normalize (rows: Rows): Rows {
  const cell = (key: string, value: unknown): unknown => {
    if (value === null) return null
    if (key.endsWith('_at')) return new Date(value as string).toISOString()
    if (/^(unknown|pre_registration|enabled|blocked|verified|active)$/.test(key)) return Boolean(value)
    if (/^(custom_fields|conflicting_fields|details)$/.test(key) && typeof value === 'string') return JSON.parse(value)
    return value
  }
  return Object.fromEntries(Object.entries(rows).map(([table, list]) => [table, inOrder(table, list.map((row) =>
    Object.fromEntries(Object.entries(row).sort().map(([key, value]) => [key, cell(key, value)]))))]))
}

function inOrder (table: string, list: Row[]): Row[] {
  if (table === 'history') return list.sort((a, b) => Number(a.seq) - Number(b.seq))
  const text = new Map(list.map((row) => [row, JSON.stringify(row)]))
  return list.sort((a, b) => text.get(a)! < text.get(b)! ? -1 : 1)
}

/** The rows after one more update at the time `now`. */
function applied (rows: Rows, { name, update_id: updateId }: Row, now: string): Rows {
  const ours = (row: Row): boolean => row.contact_id === 'maria' || /^visitor-[12]$/.test(String(row.visitor_id))
  const change = (table: string, values: Row): Row[] => rows[table]!.map((row) => ours(row) ? { ...row, ...values } : row)
  const others = (table: string): Row[] => rows[table]!.filter((row) => row.contact_id !== 'maria')
  if (name === 'deleted') {
    return {
      ...rows, contact: rows.contact!.filter(({ id }) => id !== 'maria'), contact_email: others('contact_email'), contact_phone: others('contact_phone'),
      contact_channel: others('contact_channel'), idempotency_key: others('idempotency_key')
    }
  }
  return {
    ...rows,
    contact: rows.contact!.map((row) => row.id !== 'maria' ? row : {
      ...row, name, contact_manager: 'bob', custom_fields: { ...row.custom_fields as Row, plan: 'silver' }, conflicting_fields: [], unknown: false,
      version: Number(row.version) + 1, updated_at: now, update_id: updateId
    }),
    contact_email: [...others('contact_email'), { address: `${name}@exämple.com`, contact_id: 'maria', position: 0 }],
    contact_phone: [...others('contact_phone'), ...['1', name].map((phone, position) => ({ contact_id: 'maria', phone_number: phone, position }))],
    room: change('room', { fname: name, updated_at: now }),
    subscription: change('subscription', { name, fname: name, updated_at: now }),
    inquiry: change('inquiry', { name, updated_at: now }),
    statistic: [{ name: 'Resolved_Conflicts_Count', value: 2 }]
  }
}

/** Returns a sentence for each rule of the contract that is broken. The list is empty if none is. */
export function judge ({ before, after, requests, notified, called, log, mayBeInDoubt, mayBeDone }: Observation, now: string): string[] {
  const broken: string[] = []
  const check = (holds: boolean, describe: () => string): void => { if (!holds) broken.push(describe()) }
  const history = after.history!
  const count = (list: unknown[], item: unknown): number => list.filter((one) => one === item).length
  const isInDoubt = log.some((line) => line.includes('FOC_IN_DOUBT'))
  check(mayBeInDoubt || !isInDoubt, () => `in doubt: ${log.join()}`)

  // The rows must be the result of the updates in the history.
  const expected = normalize(history.reduce<Rows>((rows, entry) => applied(rows, entry, now), before))
  for (const table of tables) {
    if (/^(history|journal|idempotency_key|user|user_role|auth_token)$/.test(table)) continue
    check(isDeepStrictEqual(after[table], expected[table]), () => `${table} is ${difference(after[table]!, expected[table]!)} instead of ${difference(expected[table]!, after[table]!)}`)
  }
  const names = history.map(({ name }) => name as string)
  if (called !== undefined) {
    const wrote = names.filter((name) => called.includes(name)).sort()
    check(isDeepStrictEqual(after.journal!.map(({ name }) => name).sort(), wrote), () => `the journal is ${JSON.stringify(after.journal)} after ${names.join()}`)
  }

  for (const [index, { name, key, reply }] of requests.entries()) {
    const done = count(names, name)
    const status = reply?.statusCode ?? 0
    // Of two requests with one key and one body, one is made and the other is a replay.
    const twins = requests.filter((other) => other.name === name)
    const isReplay = reply?.headers['idempotency-replayed'] === 'true'
    const isUnknown = index === 0 && isInDoubt && status === 500
    if (status === 0 && !mayBeDone) check(done === 0, () => `${name} was done although its client was gone`)
    check(done <= 1, () => `${name} was done ${done} times`)
    if (twins.length > 1) {
      check(status !== 200 || done === 1, () => `${name} was answered with 200 and not done`)
      const bodies = new Set(twins.filter((twin) => twin.reply?.statusCode === 200).map((twin) => `${twin.reply?.body} ${String(twin.reply?.headers.etag)}`))
      check(bodies.size <= 1, () => 'twins were answered differently')
      const first = twins.filter((twin) => twin.reply?.statusCode === 200 && twin.reply.headers['idempotency-replayed'] === undefined)
      check(first.length <= 1, () => 'a replay does not say so')
    } else {
      check(!isReplay, () => `${name} was answered with a replay`)
      if (!isUnknown && status !== 0) check((status === 200) === (done === 1), () => `${name} was answered with ${status} and done ${done} times`)
    }
    check(count(notified, name) === (isUnknown ? 0 : done), () => `onContactUpdated was called with ${name} ${count(notified, name)} times`)
    if (key !== undefined && !names.includes('deleted')) {
      const stored = after.idempotency_key!.filter((row) => row.key === key)
      const isStored = status === 200 ? stored.length === 1 && stored[0]!.answer === reply?.body
        : isUnknown || status === 0 || twins.length > 1 || stored.length === 0
      check(isStored || requests.some((other) => other.key === key && other.name !== name), () => `for the key ${key}, answered with ${status}, is stored ${JSON.stringify(stored)}`)
    }
    if (status === 200 && !isReplay) {
      const place = names.indexOf(name)
      const version = Number(before.contact!.find(({ id }) => id === 'maria')?.version) + place + 1
      check(reply?.headers.etag === `"${version}"`, () => `the ETag is ${String(reply?.headers.etag)} instead of ${version}`)
      check((JSON.parse(reply!.body) as { contact: Row }).contact.name === name, () => `the answer is ${reply?.body}`)
    }
    if ((status === 500 || status === 503) && index === 0 && !reply!.body.includes('Service Unavailable')) check(log.length > 0, () => `${status} and nothing in the log`)
  }
  const isAllDone = requests.every(({ reply }) => reply?.statusCode === 200)
  check(!(isAllDone && log.some((line) => line.includes('contacts.update'))), () => `all was done, but the log says ${log.join()}`)
  if (called !== undefined) {
    for (const { name } of requests) check(count(called, name) >= count(names, name), () => `${name} was committed without beforeCommit`)
  }
  return broken
}

/** The elements of `rows` that are not in `others`. */
function difference (rows: Row[], others: Row[]): string {
  return JSON.stringify(rows.filter((row) => !others.some((other) => isDeepStrictEqual(row, other))))
}
