// Checks after an update with a fault that the rows, the answers and the calls of the host's hooks fit each other.

import { isDeepStrictEqual } from 'node:util'

export type Row = Record<string, unknown>
/** All rows by table: of the plugin's tables, without the prefix of their names, and of the host's `history` and `journal`. */
export type Rows = Record<string, Row[]>

/** A request and its reply. There is no reply if the client went away. */
export interface Request {
  /** The contact's new name. Only requests with the same key and body share it. */
  name: string
  key?: string | undefined
  reply?: { statusCode: number, body: string, headers: Record<string, unknown> } | undefined
}

export interface Observation {
  /** All rows before and after the requests. */
  before: Rows
  after: Rows
  /** The requests of the scenario, the one under test first. */
  requests: Request[]
  /** The names that `onContactUpdated` was called with. */
  namesAfterCommit: string[]
  /** The names that `beforeCommit` was called with, if the requests have one that writes into `journal`. */
  namesBeforeCommit: string[] | undefined
  log: string[]
  /** Whether FOC_IN_DOUBT may be the answer to the first request. */
  mayBeInDoubt: boolean
  /** Whether the first update may be made although its client is gone. */
  mayCommitWithoutClient: boolean
}

/** The body of a request that sends this name. */
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

/** All tables. A row references only tables before its own. */
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
  -- The trigger has written into the history while the contacts were deleted.
  DELETE FROM history; COMMIT`

/** Puts the rows of both engines into one form and one order. */
export function normalize (rows: Rows): Rows {
  return Object.fromEntries(Object.entries(rows).map(([table, list]) => [table, sort(table, list.map(normalizeRow))]))
}

function normalizeRow (row: Row): Row {
  return Object.fromEntries(Object.entries(row).sort().map(([column, value]) => [column, normalizeValue(column, value)]))
}

function normalizeValue (column: string, value: unknown): unknown {
  if (value === null) return null
  if (column.endsWith('_at')) return new Date(value as string).toISOString()
  if (/^(unknown|pre_registration|enabled|blocked|verified|active)$/.test(column)) return Boolean(value)
  if (/^(custom_fields|conflicting_fields|details)$/.test(column) && typeof value === 'string') return JSON.parse(value)
  return value
}

/** Keeps the order of the history. Other tables have none, so their rows are sorted by their text. */
function sort (table: string, rows: Row[]): Row[] {
  if (table === 'history') return rows.sort((a, b) => Number(a.seq) - Number(b.seq))
  const texts = new Map(rows.map((row) => [row, JSON.stringify(row)]))
  return rows.sort((a, b) => texts.get(a)! < texts.get(b)! ? -1 : 1)
}

/** The rows after one more entry of the history: an update at the time `now`, or the deletion of the contact. */
function rowsAfter (rows: Rows, { name, update_id: updateId }: Row, now: string): Rows {
  const rowsOfOthers = (table: string): Row[] => rows[table]!.filter((row) => row.contact_id !== 'maria')
  if (name === 'deleted') {
    const listsOfOthers = ['contact_email', 'contact_phone', 'contact_channel', 'idempotency_key'].map((table) => [table, rowsOfOthers(table)])
    return { ...rows, contact: rows.contact!.filter(({ id }) => id !== 'maria'), ...Object.fromEntries(listsOfOthers) as Rows }
  }
  const belongsToMaria = (row: Row): boolean => row.contact_id === 'maria' || /^visitor-[12]$/.test(String(row.visitor_id))
  const rename = (table: string, values: Row): Row[] =>
    rows[table]!.map((row) => belongsToMaria(row) ? { ...row, ...values, updated_at: now } : row)
  return {
    ...rows,
    contact: rows.contact!.map((row) => row.id !== 'maria' ? row : {
      ...row, name, contact_manager: 'bob', custom_fields: { ...row.custom_fields as Row, plan: 'silver' }, conflicting_fields: [], unknown: false,
      version: Number(row.version) + 1, updated_at: now, update_id: updateId
    }),
    contact_email: [...rowsOfOthers('contact_email'), { address: `${name}@exämple.com`, contact_id: 'maria', position: 0 }],
    contact_phone: [...rowsOfOthers('contact_phone'), ...['1', name].map((phone, position) => ({ contact_id: 'maria', phone_number: phone, position }))],
    room: rename('room', { fname: name }),
    subscription: rename('subscription', { name, fname: name }),
    inquiry: rename('inquiry', { name }),
    statistic: [{ name: 'Resolved_Conflicts_Count', value: 2 }]
  }
}

/** Adds a sentence to the list of broken rules, unless the condition holds. */
type Check = (holds: boolean, describe: () => string) => void

/** Returns a sentence for each rule of the contract that is broken. The list is empty if none is. */
export function judge (observation: Observation, now: string): string[] {
  const broken: string[] = []
  const check: Check = (holds, describe) => { if (!holds) broken.push(describe()) }
  const { requests, namesBeforeCommit, log, mayBeInDoubt } = observation
  check(mayBeInDoubt || !saysInDoubt(log), () => `in doubt: ${log.join()}`)
  checkRows(check, observation, now)
  for (const request of requests) {
    checkReply(check, observation, request)
    checkStoredAnswer(check, observation, request)
  }
  const areAllMade = requests.every(({ reply }) => reply?.statusCode === 200)
  check(!(areAllMade && log.some((line) => line.includes('contacts.update'))), () => `all updates were made, but the log says ${log.join()}`)
  if (namesBeforeCommit !== undefined) {
    const names = committedNames(observation)
    for (const { name } of requests) check(count(namesBeforeCommit, name) >= count(names, name), () => `${name} was committed without beforeCommit`)
  }
  return broken
}

/** The names that updates have committed, in order, and `deleted` for a deletion of the contact. */
function committedNames ({ after }: Observation): string[] {
  return after.history!.map(({ name }) => name as string)
}

function saysInDoubt (log: string[]): boolean {
  return log.some((line) => line.includes('FOC_IN_DOUBT'))
}

/** Whether the outcome of this request may stay unknown. Only the first one has faults. */
function isUnknown ({ requests, log }: Observation, request: Request): boolean {
  return request === requests[0] && saysInDoubt(log) && request.reply?.statusCode === 500
}

/** Of two requests with one key and one body, one is made and the other is a replay. Returns both, or the request alone. */
function twinsOf ({ requests }: Observation, { name }: Request): Request[] {
  return requests.filter((other) => other.name === name)
}

/** The rows must be the result of the updates in the history, and the journal must have the calls of `beforeCommit` that were committed. */
function checkRows (check: Check, observation: Observation, now: string): void {
  const { before, after, namesBeforeCommit } = observation
  const expected = normalize(after.history!.reduce<Rows>((rows, entry) => rowsAfter(rows, entry, now), before))
  for (const table of tables) {
    if (/^(history|journal|idempotency_key|user|user_role|auth_token)$/.test(table)) continue
    check(isDeepStrictEqual(after[table], expected[table]),
      () => `${table} is ${difference(after[table]!, expected[table]!)} instead of ${difference(expected[table]!, after[table]!)}`)
  }
  if (namesBeforeCommit === undefined) return
  const names = committedNames(observation)
  const expectedJournal = names.filter((name) => namesBeforeCommit.includes(name)).sort()
  check(isDeepStrictEqual(after.journal!.map(({ name }) => name).sort(), expectedJournal),
    () => `the journal is ${JSON.stringify(after.journal)} after ${names.join()}`)
}

function checkReply (check: Check, observation: Observation, request: Request): void {
  const { before, requests, namesAfterCommit, log, mayCommitWithoutClient } = observation
  const { name, reply } = request
  const names = committedNames(observation)
  const commits = count(names, name)
  const status = reply?.statusCode ?? 0
  const isReplay = reply?.headers['idempotency-replayed'] === 'true'
  const unknown = isUnknown(observation, request)
  const twins = twinsOf(observation, request)

  if (status === 0 && !mayCommitWithoutClient) check(commits === 0, () => `${name} was committed although its client was gone`)
  check(commits <= 1, () => `${name} was committed ${commits} times`)
  if (twins.length > 1) {
    check(status !== 200 || commits === 1, () => `${name} was answered with 200 and not committed`)
    checkTwins(check, twins)
  } else {
    check(!isReplay, () => `${name} was answered with a replay`)
    if (!unknown && status !== 0) check((status === 200) === (commits === 1), () => `${name} was answered with ${status} and committed ${commits} times`)
  }
  check(count(namesAfterCommit, name) === (unknown ? 0 : commits), () => `onContactUpdated was called with ${name} ${count(namesAfterCommit, name)} times`)
  if (status === 200 && !isReplay) {
    const version = Number(before.contact!.find(({ id }) => id === 'maria')?.version) + names.indexOf(name) + 1
    check(reply?.headers.etag === `"${version}"`, () => `the ETag is ${String(reply?.headers.etag)} instead of ${version}`)
    check((JSON.parse(reply!.body) as { contact: Row }).contact.name === name, () => `the answer is ${reply?.body}`)
  }
  const isFromHost = reply?.body.includes('Service Unavailable') === true
  if (request === requests[0] && (status === 500 || status === 503) && !isFromHost) {
    check(log.length > 0, () => `${status} and nothing in the log`)
  }
}

/** All twins that were answered with 200 have the same answer, and all but one say that it is a replay. */
function checkTwins (check: Check, twins: Request[]): void {
  const answered = twins.flatMap(({ reply }) => reply?.statusCode === 200 ? [reply] : [])
  check(new Set(answered.map(({ body, headers }) => `${body} ${String(headers.etag)}`)).size <= 1, () => 'twins were answered differently')
  check(answered.filter(({ headers }) => headers['idempotency-replayed'] === undefined).length <= 1, () => 'a replay does not say so')
}

/** A request with a key that got 200 has a stored answer. A refused one has none. */
function checkStoredAnswer (check: Check, observation: Observation, request: Request): void {
  const { after, requests } = observation
  const { name, key, reply } = request
  // The answers are deleted with the contact, and another request may have used the key.
  if (key === undefined || committedNames(observation).includes('deleted')) return
  if (requests.some((other) => other.key === key && other.name !== name)) return
  const status = reply?.statusCode ?? 0
  const stored = after.idempotency_key!.filter((row) => row.key === key)
  const mayBeStored = isUnknown(observation, request) || status === 0 || twinsOf(observation, request).length > 1
  const isRight = status === 200
    ? stored.length === 1 && stored[0]!.answer === reply?.body
    : mayBeStored || stored.length === 0
  check(isRight, () => `for the key ${key}, answered with ${status}, is stored ${JSON.stringify(stored)}`)
}

function count (list: unknown[], item: unknown): number {
  return list.filter((other) => other === item).length
}

/** The elements of `rows` that are not in `others`. */
function difference (rows: Row[], others: Row[]): string {
  return JSON.stringify(rows.filter((row) => !others.some((other) => isDeepStrictEqual(row, other))))
}
