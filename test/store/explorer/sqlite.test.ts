// Explores faults on SQLite: every fault at every statement of an update, alone and in a batch, and every kind of beforeCommit.

import Database from 'better-sqlite3'
import fastify, { type FastifyReply } from 'fastify'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import omnichannelContacts, { UpdateRefusedError } from '../../../src/index.js'
import { fill } from '../../helpers/test-server.js'
import { sqliteDb } from '../../helpers/sqlite.js'
import { replaceClock } from '../../helpers/waiting.js'
import { createPlan, createRecord, describeMode, exploreAll, findProblems, modes, now, stopClock, withTimeout, type Limits, type Mode } from './explore.js'
import { fullName, normalize, resetSql, setUpSql, tables, type Row } from './oracle.js'

/** The milliseconds of the busy timeout of the host. The plugin must not change it. */
const busyTimeout = 1234
/** In milliseconds. */
const lockTimeout = 300

/** A fault that runs before a statement. If it throws, the statement fails. */
interface Injection {
  /** Matches the SQL of the statement. */
  at: RegExp
  /** The number of matching statements that pass before the fault happens. Default 0. */
  skip?: number
  /** How often it happens. Default 1. */
  times?: number
  run: (lane: Lane) => void
}

/** The name that the request under test sends. */
const OURS = 'Ours'
/** The names of the requests that are sent together, in this order. */
const single = [OURS]
const batch = ['Left', OURS, 'Right']

interface Scenario extends Partial<Mode>, Limits {
  name: string
  /** How many requests may have another status than 200. Default 1. */
  maxFailures?: number
  injections?: Injection[]
  /** The names of the requests that are sent together. Default `single`. */
  names?: string[]
  /** What `beforeCommit` does for the request under test. Unless given, it writes into the journal. */
  callback?: Callback
}

/** Iterators that a `beforeCommit` has left open. */
const openIterators: Array<IterableIterator<unknown>> = []

function leaveIteratorOpen (database: Database.Database, sql: string): void {
  const iterator = database.prepare(sql).iterate()
  openIterators.push(iterator)
  iterator.next()
}

function closeIterators (): void {
  for (const iterator of openIterators.splice(0)) iterator.return?.()
}

type Callback = (database: Database.Database, journal: () => void) => unknown
type Lane = Awaited<ReturnType<typeof openLane>>

/** Opens a database file twice, with a server on the first handle. */
async function openLane (t: Test, journalMode: 'WAL' | 'DELETE') {
  const file = `${mkdtempSync(join(tmpdir(), 'omnichannel-explorer-'))}/contacts.db`
  const database = new Database(file, { timeout: busyTimeout })
  database.pragma(`journal_mode = ${journalMode}`)
  database.pragma('synchronous = OFF')
  const otherConnection = new Database(file, { timeout: 0 })
  const record = createRecord()
  const lane = {
    ...record, database, otherConnection, plan: createPlan<Injection>(), replies: [] as FastifyReply[],
    /** Whether faults can happen. */
    hasFaults: false, callback: undefined as Callback | undefined,
    begin: (injections: Injection[]) => {
      lane.plan.begin(injections)
      lane.hasFaults = true
    },
    withoutFaults: <Result>(work: () => Result): Result => {
      const { hasFaults } = lane
      lane.hasFaults = false
      try {
        return work()
      } finally {
        lane.hasFaults = hasFaults
      }
    },
    send: async (name: string, { hasCallback, hasKey }: Mode) => {
      await record.post(app, hasCallback ? '/with-callback' : '/plain', name, hasKey ? `key-of-${name}` : undefined)
    },
    rows: () => normalize(Object.fromEntries(tables.map((table) => [table, otherConnection.prepare<[], Row>(`SELECT * FROM ${fullName(table)}`).all()]))),
    reset: (): void => {
      lane.hasFaults = false
      otherConnection.exec(resetSql)
      record.clear()
      lane.replies.length = 0
      lane.callback = undefined
    }
  }
  injectFaults(lane)

  const { logger, onContactUpdated } = record
  const app = fastify({ logger })
  app.addHook('onRequest', async (_request, reply) => { lane.replies.push(reply) })
  const beforeCommit = ({ contact: { name } }: { contact: { name: string } }) => {
    lane.namesBeforeCommit.push(name)
    const journal = (): void => { database.prepare('INSERT INTO journal VALUES (?)').run(name) }
    return name === OURS && lane.callback !== undefined ? lane.callback(database, journal) : journal()
  }
  await app.register(omnichannelContacts, { database, prefix: '/plain', lockTimeout, onContactUpdated })
  await app.register(omnichannelContacts, { database, prefix: '/with-callback', lockTimeout, onContactUpdated, beforeCommit })
  await app.ready()
  await fill(sqliteDb(database))
  database.exec(setUpSql('sqlite'))
  t.teardown(async () => {
    await withTimeout(app.close(), 'app.close()')
    database.close()
    otherConnection.close()
    rmSync(dirname(file), { recursive: true })
  })
  return lane
}

/** Lets the fault of the plan happen before each statement of the handle. */
function injectFaults (lane: Pick<Lane, 'database' | 'plan' | 'hasFaults'>): void {
  const { database } = lane
  const withFaults = (sql: string, call: (...values: unknown[]) => unknown) => (...values: unknown[]) => {
    if (lane.hasFaults) lane.plan.reach(sql)?.run(lane as Lane)
    return call(...values)
  }
  const prepare = database.prepare.bind(database)
  const exec = database.exec.bind(database)
  Object.assign(database, {
    exec: (sql: string) => withFaults(sql, () => exec(sql))(),
    prepare: (sql: string) => {
      const statement = prepare(sql)
      return Object.assign(statement, {
        run: withFaults(sql, statement.run.bind(statement)),
        get: withFaults(sql, statement.get.bind(statement)),
        all: withFaults(sql, statement.all.bind(statement))
      })
    }
  })
}

/** Runs a scenario, and returns the problems that it found. */
async function explore (lane: Lane, scenario: Scenario): Promise<string[]> {
  const { allowed, injections = [], names = single, maxFailures = 1, hasCallback = false, hasKey = false } = scenario
  lane.reset()
  lane.callback = scenario.callback
  const before = lane.rows()
  lane.begin(injections)
  const problems: string[] = []
  try {
    await withTimeout(Promise.all(names.map(async (name) => { await lane.send(name, { hasCallback, hasKey }) })), 'a request')
  } catch (error) {
    problems.push(String(error))
  }
  lane.hasFaults = false
  const statuses = lane.requests.map(({ reply }) => reply?.statusCode ?? 0)
  const failures = statuses.filter((status) => status !== 200).length
  if (statuses.some((status) => !allowed.includes(status))) problems.push(`the answers are ${statuses.join()} ${lane.log.join()}`)
  if (failures > maxFailures) problems.push(`only ${maxFailures} may fail, not ${statuses.join()}`)
  const [unused] = lane.plan.unused()
  if (unused !== undefined && injections.length === 1) problems.push(`at ${String(unused.at)} nothing happened`)
  problems.push(...findProblems({ record: lane, before, after: lane.rows(), limits: { ...scenario, hasCallback }, names }))
  problems.push(...await checkHandle(lane, scenario.name.includes('writing iterator')))
  return problems
}

/** The next update must work, also while a reading iterator is open, and the settings of the handle must be unchanged. */
async function checkHandle (lane: Lane, hasWritingIterator: boolean): Promise<string[]> {
  const { database } = lane
  const problems: string[] = []
  // Without this, better-sqlite3 refuses a pragma while an iterator is open.
  database.unsafeMode()
  const timeout = database.pragma('busy_timeout', { simple: true })
  database.unsafeMode(false)
  if (timeout !== busyTimeout) problems.push(`the busy timeout is ${String(timeout)}`)

  if (hasWritingIterator) closeIterators()
  // A handle with a reading iterator would not see that the rows are reset.
  if (openIterators.length === 0) lane.reset()
  try {
    await withTimeout(lane.send('Next', { hasCallback: true, hasKey: false }), 'the next update')
  } catch (error) {
    problems.push(String(error))
  }
  const next = lane.requests.at(-1)?.reply
  if (next?.statusCode !== 200) problems.push(`the next update is answered with ${next?.body}`)
  if (database.inTransaction) problems.push('a transaction is open')
  closeIterators()
  return problems
}

/** Stops `Date`, and `performance.now` for each turn of the event loop, so that no batch reaches its time limit. */
function stopClocks (t: Test): void {
  stopClock(t)
  let time: number | undefined
  replaceClock(t, () => {
    if (time === undefined) setImmediate(() => { time = undefined })
    return time ??= process.uptime() * 1000
  })
}

const fail = (code: string): Injection['run'] => () => { throw new Database.SqliteError('the explorer', code) }
/** After some errors, SQLite rolls back by itself. */
const failAndRollBack = (code: string): Injection['run'] => (lane) => {
  lane.withoutFaults(() => { if (lane.database.inTransaction) lane.database.exec('ROLLBACK') })
  throw new Database.SqliteError('the explorer', code)
}
/** Another connection runs SQL, unless a lock prevents it. */
const onOtherConnection = (sql: string): Injection['run'] => ({ otherConnection }) => {
  try {
    otherConnection.exec(sql)
  } catch (error) {
    if ((error as { code?: string }).code !== 'SQLITE_BUSY') throw error
    if (otherConnection.inTransaction) otherConnection.exec('ROLLBACK')
  }
}
/** An update of another process, with all that it writes. */
const otherUpdate = `BEGIN IMMEDIATE;
  UPDATE omnichannel_contact SET name = 'Other', update_id = 'other', version = version + 1, updated_at = '${now}', unknown = 0, contact_manager = 'bob',
    conflicting_fields = '[]', custom_fields = '{"plan":"silver","legacy":"kept"}' WHERE id = 'maria';
  DELETE FROM omnichannel_contact_email WHERE contact_id = 'maria'; INSERT INTO omnichannel_contact_email VALUES ('maria', 0, 'Other@exämple.com');
  DELETE FROM omnichannel_contact_phone WHERE contact_id = 'maria'; INSERT INTO omnichannel_contact_phone VALUES ('maria', 0, '1'), ('maria', 1, 'Other');
  UPDATE omnichannel_room SET fname = 'Other', updated_at = '${now}' WHERE contact_id = 'maria';
  UPDATE omnichannel_subscription SET name = 'Other', fname = 'Other', updated_at = '${now}' WHERE visitor_id IN ('visitor-1', 'visitor-2');
  UPDATE omnichannel_inquiry SET name = 'Other', updated_at = '${now}' WHERE visitor_id IN ('visitor-1', 'visitor-2');
  INSERT OR REPLACE INTO omnichannel_statistic VALUES ('Resolved_Conflicts_Count', 2); COMMIT`

type FaultCase = [what: string, run: Injection['run'], allowed: number[]]

/** What can happen at each statement, and the statuses that may follow. */
const faultsAtEach: FaultCase[] = [
  ...['SQLITE_IOERR', 'SQLITE_CORRUPT', 'SQLITE_READONLY', 'SQLITE_CONSTRAINT_TRIGGER'].map((code): FaultCase => [code, fail(code), [200, 500]]),
  ...['SQLITE_IOERR_WRITE', 'SQLITE_NOMEM', 'SQLITE_CONSTRAINT_TRIGGER'].map((code): FaultCase => [`${code}, rolled back`, failAndRollBack(code), [200, 500]]),
  // SQL can call a function of the host that throws this.
  ['an error with a status', () => { throw Object.assign(new Error('of the host'), { statusCode: 404, code: 'FST_ERR_NOT_FOUND' }) }, [200, 500]],
  ['SQLITE_FULL', fail('SQLITE_FULL'), [200, 500]],
  ['SQLITE_FULL, rolled back', failAndRollBack('SQLITE_FULL'), [200, 500]],
  ['another update', onOtherConnection(otherUpdate), [200]],
  ['the contact deleted', onOtherConnection("DELETE FROM omnichannel_contact WHERE id = 'maria'"), [200, 400]],
  ['the token revoked', onOtherConnection("DELETE FROM omnichannel_auth_token WHERE user_id = 'ann'"), [200, 401]],
  ['the role taken', onOtherConnection("DELETE FROM omnichannel_user_role WHERE user_id = 'ann'"), [200, 403]],
  ['the client gone', ({ replies }) => { replies[0]!.raw.destroy() }, [0, 200]],
  ['the reply hijacked', ({ replies }) => { if (!replies[0]!.sent && replies[0]!.hijack().sent) replies[0]!.raw.writeHead(504).end() }, [200, 504]],
  ['an answer of the host', ({ replies }) => { void replies[0]!.code(504).send({}) }, [200, 504]]
]

/** Faults for updates in a batch. */
const faultsInBatch = faultsAtEach.filter(([what]) =>
  /^(SQLITE_IOERR|SQLITE_FULL.*|SQLITE_CONSTRAINT_TRIGGER, rolled back|another update|the token revoked|the client gone)$/.test(what))

/** The statements of these updates without a fault. */
async function statementsOf (lane: Lane, mode: Mode, names: string[]): Promise<string[]> {
  // The first updates fill the cache.
  await explore(lane, { name: '', allowed: [200], names, ...mode })
  lane.reset()
  lane.begin([])
  await Promise.all(names.map(async (name) => { await lane.send(name, mode) }))
  return [...lane.plan.statements]
}

/** Each of these faults at each statement of the updates. */
async function scenariosAtEach (lane: Lane, mode: Mode, names: string[], faults: FaultCase[]): Promise<Scenario[]> {
  const statements = await statementsOf(lane, mode, names)
  return statements.flatMap((sql, index) => {
    // Setting the busy timeout never fails.
    if (sql.includes('busy_timeout')) return []
    const belongsToTransaction = /^(BEGIN|COMMIT|PRAGMA|SELECT (count|total)|DELETE FROM main.omnichannel_migration)/.test(sql)
    return faults.map(([what, run, allowed]) => ({
      name: `${index} of ${names.length}, ${sql.replace(/\s+/g, ' ').slice(0, 50)}: ${what}${describeMode(mode)}`, ...mode, names, allowed,
      // A fault of the transaction fails all updates that share it.
      maxFailures: belongsToTransaction || /deleted|revoked|taken/.test(what) ? 3 : 1,
      injections: [{ at: /^/, skip: index, run }], mayCommitWithoutClient: sql === 'COMMIT'
    }))
  })
}

for (const journalMode of ['WAL', 'DELETE'] as const) {
  t.test(`${journalMode}, every fault at every statement: the update is made once or not at all, and the answer says which`, async (t) => {
    stopClocks(t)
    const lane = await openLane(t, journalMode)
    // After a failed write, the next updates have savepoints.
    await explore(lane, { name: '', allowed: [500], injections: [{ at: /omnichannel_room/, run: fail('SQLITE_IOERR') }] })
    const [plain, withAll] = modes as [Mode, Mode]
    const scenarios = journalMode === 'DELETE'
      ? await scenariosAtEach(lane, withAll, single, faultsInBatch)
      : [
          ...await scenariosAtEach(lane, plain, single, faultsAtEach),
          ...await scenariosAtEach(lane, withAll, single, faultsAtEach),
          ...await scenariosAtEach(lane, withAll, batch, faultsInBatch)
        ]
    await exploreAll(t, scenarios, [lane], explore)
  })
}

t.test('without a WAL: no statement sleeps on a lock', async (t) => {
  stopClocks(t)
  const lane = await openLane(t, 'DELETE')
  const run: Injection['run'] = ({ database, withoutFaults }) => {
    if (withoutFaults(() => database.pragma('busy_timeout', { simple: true })) !== 0) throw new Error('it may sleep')
  }
  const injections = [{ at: /^(?!PRAGMA)/, times: Infinity, run }]
  await exploreAll(t, modes.map((mode) => ({ name: describeMode(mode), ...mode, allowed: [200], injections })), [lane], explore)
})

t.test('without a WAL, a reader that would block COMMIT: beforeCommit is called once', async (t) => {
  stopClocks(t)
  const lane = await openLane(t, 'DELETE')
  const run: Injection['run'] = ({ otherConnection }) => {
    otherConnection.exec('BEGIN; SELECT * FROM omnichannel_contact')
    otherConnection.prepare('SELECT count(*) FROM omnichannel_contact').get()
    setTimeout(() => { otherConnection.exec('COMMIT') }, 50)
  }
  await exploreAll(t, [{ name: 'a reader', allowed: [200], hasCallback: true, maxCalls: 1, injections: [{ at: /^BEGIN/, run }] }], [lane], explore)
})

t.test('a trigger that drops the write of the contact: nothing is written', async (t) => {
  stopClocks(t)
  const lane = await openLane(t, 'WAL')
  lane.database.exec(`CREATE TRIGGER swallow BEFORE UPDATE ON omnichannel_contact WHEN new.name = '${OURS}' BEGIN SELECT RAISE(IGNORE); END`)
  await exploreAll(t, modes.flatMap((mode) => [single, batch].map((names) => ({
    name: `${names.length}${describeMode(mode)}`, ...mode, names, allowed: names === single ? [500] : [200, 500]
  }))), [lane], explore)
})

t.test('one update fails in a batch without savepoints: the others are made once', async (t) => {
  stopClocks(t)
  const [plain] = modes as [Mode]
  const faults = faultsAtEach.filter(([what]) => /^SQLITE_(IOERR|FULL, rolled back)$/.test(what))
  const scenarios = await scenariosAtEach(await openLane(t, 'WAL'), plain, batch, faults)
  // Each scenario has a handle of its own, because updates have savepoints after a failure.
  for (const scenario of scenarios.filter(({ name }) => /, (update|insert|delete|COMMIT)/.test(name))) {
    const lane = await openLane(t, 'WAL')
    // Fills the cache, so that the statements have the same numbers.
    await statementsOf(lane, plain, batch)
    await exploreAll(t, [scenario], [lane], explore)
  }
})

const throwError = (): never => { throw new Error('of the host') }

/** What a `beforeCommit` can do, the status that follows, and how many updates of a batch may fail. */
const callbacks: Record<string, [callback: Callback, status: number, maxFailures?: number]> = {
  throws: [(_database, journal) => { journal(); throwError() }, 500],
  'throws null': [() => { throw null }, 500],
  'throws a status': [() => { throw Object.assign(new Error('of the host'), { statusCode: 404 }) }, 500],
  refuses: [(_database, journal) => { journal(); throw new UpdateRefusedError('no') }, 400],
  'returns a promise': [(_database, journal) => { journal(); return Promise.resolve() }, 500],
  'returns a promise that rejects': [(_database, journal) => { journal(); return Promise.reject(new Error('of the host')) }, 500],
  'returns a thenable': [(_database, journal) => { journal(); return { then: () => undefined } }, 500],
  'lets a statement fail': [(database, journal) => { journal(); try { database.exec('SELECT * FROM nothing') } catch {} }, 200],
  'leaves an iterator open': [(database, journal) => { journal(); leaveIteratorOpen(database, 'SELECT id FROM omnichannel_contact') }, 500],
  'leaves a writing iterator open': [(database, journal) => {
    journal()
    leaveIteratorOpen(database, "INSERT INTO omnichannel_statistic VALUES ('host', 1), ('other', 2) RETURNING name")
    // Until the host ends it, SQLite commits nothing on the handle.
  }, 500, 3],
  'leaves an iterator open and throws': [(database) => { leaveIteratorOpen(database, 'SELECT id FROM omnichannel_contact'); throwError() }, 500],
  ...Object.fromEntries(['COMMIT', 'COMMIT; BEGIN', 'ROLLBACK', 'ROLLBACK; BEGIN', 'RELEASE omnichannel_update',
    'ROLLBACK TO omnichannel_update'].flatMap(endings))
}

/** The callbacks that end the transaction or a savepoint by an SQL command. */
function endings (sql: string): Array<[string, (typeof callbacks)[string]]> {
  const status = sql.startsWith('COMMIT') ? 200 : 500
  const end: Callback = (database, journal) => { journal(); database.exec(sql) }
  return [
    [`ends the transaction by ${sql}`, [end, status]],
    [`ends the transaction by ${sql}, and throws`, [(...args) => { end(...args); throwError() }, status]]
  ]
}

t.test('every kind of beforeCommit, alone and in a batch: the answer fits the rows', async (t) => {
  stopClocks(t)
  const lane = await openLane(t, 'WAL')
  const scenarios = Object.entries(callbacks).flatMap(([what, [callback, status, maxFailures = 1]]) =>
    [single, batch].flatMap((names) => [false, true].map((hasKey): Scenario => ({
      name: `beforeCommit ${what}${describeMode({ hasKey })}, ${names.length}`, callback, names, hasCallback: true, hasKey, maxFailures,
      allowed: [status, ...names === batch ? [200] : [], ...maxFailures > 1 ? [503] : []]
    }))))
  await exploreAll(t, scenarios, [lane], explore)
})

/** The first fault: the disk is full at a write or at COMMIT, for each update of the batch in turn. */
function firstFaults (names: string[]): Array<{ what: string, injection: Injection }> {
  const runs = { SQLITE_FULL: fail('SQLITE_FULL'), 'SQLITE_FULL, rolled back': failAndRollBack('SQLITE_FULL') }
  return Object.entries(runs).flatMap(([what, run]) => [
    ...[/^update "main"."omnichannel_contact"/, /^insert into "main"."omnichannel_contact_phone"/].flatMap((at) =>
      names.map((_, skip) => ({ what: `${what} at ${skip} ${at.source}`, injection: { at, skip, run } }))),
    { what: `${what} at COMMIT`, injection: { at: /^COMMIT/, run } }
  ])
}

/** The second fault: the recovery from the first fails each time. */
const recoveryFaults = ['SQLITE_FULL', 'SQLITE_IOERR', 'SQLITE_BUSY'].flatMap((code): Array<{ what: string, injection: Injection }> => [
  { what: `${code} at the checkpoint`, injection: { at: /wal_checkpoint/, times: Infinity, run: fail(code) } },
  // The first BEGIN belongs to the update itself.
  { what: `${code} at the next transaction`, injection: { at: /^(BEGIN|ROLLBACK TO|SAVEPOINT)/, skip: 1, times: Infinity, run: fail(code) } }
])

t.test('a second fault during the recovery from the first: the update is made once or not at all', async (t) => {
  stopClocks(t)
  const lane = await openLane(t, 'WAL')
  const scenarios = modes.flatMap((mode) => [single, batch].flatMap((names) => firstFaults(names).flatMap((first) =>
    recoveryFaults.map((second): Scenario => ({
      name: `${first.what}, and ${second.what}, ${names.length}${describeMode(mode)}`, ...mode, names,
      allowed: [200, 500, 503], maxFailures: 3, maxCalls: 3, injections: [first.injection, second.injection]
    })))))
  await exploreAll(t, scenarios, [lane], explore)
})
