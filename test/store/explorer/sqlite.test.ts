// Explores faults on SQLite: every fault at every statement of an update, alone and in a batch, and every kind of beforeCommit.

import Database from 'better-sqlite3'
import fastify, { type FastifyReply } from 'fastify'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import omnichannelContacts, { UpdateRefusedError } from '../../../src/index.js'
import { fill } from '../../helpers/build.js'
import { sqliteDb } from '../../helpers/sqlite.js'
import { replaceClock } from '../../helpers/waiting.js'
import { createPlan, createRecord, describeMode, examine, exploreAll, freeze, modes, now, within, type Limits, type Mode } from './explore.js'
import { fullName, normalize, resetSql, setUpSql, tables, type Row } from './oracle.js'

const lockTimeout = 300

/** A fault that runs before a statement. If it throws, the statement fails. */
interface Injection {
  at: RegExp
  after?: number
  times?: number
  run: (lane: Lane) => void
}

interface Scenario extends Partial<Mode>, Limits {
  name: string
  /** How many requests may have another status than 200. Default 1. */
  failing?: number
  injections?: Injection[]
  /** The names of the requests that are sent together, in this order. The one under test is `Ours`. */
  together?: string[]
  /** What `beforeCommit` does for Ours. Unless given, it writes into the journal. */
  callback?: Callback
}

/** Iterators that a `beforeCommit` has left open. */
const iterators: Array<IterableIterator<unknown>> = []

function iterate (database: Database.Database, sql: string): void {
  const iterator = database.prepare(sql).iterate()
  iterators.push(iterator)
  iterator.next()
}

type Callback = (database: Database.Database, journal: () => void) => unknown
type Lane = Awaited<ReturnType<typeof openLane>>

async function openLane (t: Test, journalMode: 'WAL' | 'DELETE') {
  const file = `${mkdtempSync(join(tmpdir(), 'omnichannel-explorer-'))}/contacts.db`
  const database = new Database(file, { timeout: 1234 })
  database.pragma(`journal_mode = ${journalMode}`)
  database.pragma('synchronous = OFF')
  const elsewhere = new Database(file, { timeout: 0 })
  const record = createRecord()
  const lane = {
    ...record, database, elsewhere, plan: createPlan<Injection>(), replies: [] as FastifyReply[],
    isWatched: false, callback: undefined as Callback | undefined,
    begin: (injections: Injection[]) => {
      lane.plan.begin(injections)
      lane.isWatched = true
    },
    /** Runs SQL without faults. */
    quietly: <Result>(work: () => Result): Result => {
      const { isWatched } = lane
      lane.isWatched = false
      try {
        return work()
      } finally {
        lane.isWatched = isWatched
      }
    },
    send: async (name: string, isHooked: boolean, key?: string) => { await record.post(app, isHooked ? '/hooked' : '/plain', name, key) },
    rows: () => normalize(Object.fromEntries(tables.map((table) => [table, elsewhere.prepare<[], Row>(`SELECT * FROM ${fullName(table)}`).all()]))),
    reset: (): void => {
      lane.isWatched = false
      elsewhere.exec(resetSql)
      record.forget()
      lane.replies.length = 0
      lane.callback = undefined
    }
  }
  watch(lane)

  const { logger, onContactUpdated } = record
  const app = fastify({ logger })
  app.addHook('onRequest', async (_request, reply) => { lane.replies.push(reply) })
  const beforeCommit = ({ contact: { name } }: { contact: { name: string } }) => {
    lane.called.push(name)
    const journal = (): void => { database.prepare('INSERT INTO journal VALUES (?)').run(name) }
    return name === 'Ours' && lane.callback !== undefined ? lane.callback(database, journal) : journal()
  }
  await app.register(omnichannelContacts, { database, prefix: '/plain', lockTimeout, onContactUpdated })
  await app.register(omnichannelContacts, { database, prefix: '/hooked', lockTimeout, onContactUpdated, beforeCommit })
  await app.ready()
  await fill(sqliteDb(database))
  database.exec(setUpSql('sqlite'))
  t.teardown(async () => {
    await within(app.close(), 'app.close()')
    database.close()
    elsewhere.close()
    rmSync(dirname(file), { recursive: true })
  })
  return lane
}

/** Asks the plan before every statement of the handle. */
function watch (lane: Pick<Lane, 'database' | 'plan' | 'isWatched'>): void {
  const meet = (sql: string): void => {
    if (lane.isWatched) lane.plan.meet(sql)?.run(lane as Lane)
  }
  const { database } = lane
  const prepare = database.prepare.bind(database)
  const exec = database.exec.bind(database)
  const wrap = (sql: string, call: (...values: unknown[]) => unknown) => (...values: unknown[]) => { meet(sql); return call(...values) }
  Object.assign(database, {
    exec: (sql: string) => { meet(sql); return exec(sql) },
    prepare: (sql: string) => {
      const statement = prepare(sql)
      return Object.assign(statement, {
        run: wrap(sql, statement.run.bind(statement)), get: wrap(sql, statement.get.bind(statement)), all: wrap(sql, statement.all.bind(statement))
      })
    }
  })
}

/** Runs a scenario, and returns the problems that it found. */
async function explore (lane: Lane, { allowed, injections = [], together = ['Ours'], isHooked = false, isKeyed = false, ...scenario }: Scenario): Promise<string[]> {
  const { database } = lane
  lane.reset()
  lane.callback = scenario.callback
  const before = lane.rows()
  lane.begin(injections)
  const problems: string[] = []
  try {
    await within(Promise.all(together.map(async (name) => {
      await lane.send(name, isHooked, isKeyed ? `key-of-${name}` : undefined)
    })), 'a request')
  } catch (error) {
    problems.push(String(error))
  }
  lane.isWatched = false
  const { requests, log } = lane
  const statuses = requests.map(({ reply }) => reply?.statusCode ?? 0)
  if (statuses.some((status) => !allowed.includes(status))) problems.push(`the answers are ${statuses.join()} ${log.join()}`)
  if (statuses.filter((status) => status !== 200).length > (scenario.failing ?? 1)) problems.push(`only one may fail, not ${statuses.join()}`)
  const left = lane.plan.left()
  if (left.length > 0 && injections.length === 1) problems.push(`at ${String(left[0]?.at)} nothing happened`)
  problems.push(...examine(lane, { before, after: lane.rows() }, { ...scenario, isHooked }, together))
  database.unsafeMode()
  const timeout = database.pragma('busy_timeout', { simple: true })
  database.unsafeMode(false)
  if (timeout !== 1234) problems.push(`the busy timeout is ${String(timeout)}`)

  // The next update must work, also while a reading iterator is open. Then the rows are not reset, because the handle would not see it.
  if (scenario.name.includes('writing iterator')) for (const iterator of iterators.splice(0)) iterator.return?.()
  if (iterators.length === 0) lane.reset()
  try {
    await within(lane.send('Next', true), 'the next one')
  } catch (error) {
    problems.push(String(error))
  }
  const next = requests.at(-1)?.reply
  if (next?.statusCode !== 200) problems.push(`the next one is answered with ${next?.body}`)
  if (database.inTransaction) problems.push('a transaction is open')
  for (const iterator of iterators.splice(0)) iterator.return?.()
  return problems
}

/** Also stops `performance.now` within a turn of the event loop, so that no batch ends by its time. */
function freezeTurns (t: Test): void {
  freeze(t)
  let time: number | undefined
  replaceClock(t, () => {
    if (time === undefined) setImmediate(() => { time = undefined })
    return time ??= process.uptime() * 1000
  })
}

const fail = (code: string): Injection['run'] => () => { throw new Database.SqliteError('the explorer', code) }
/** After some errors, SQLite rolls back by itself. */
const failAndRollBack = (code: string): Injection['run'] => (lane) => {
  lane.quietly(() => { if (lane.database.inTransaction) lane.database.exec('ROLLBACK') })
  throw new Database.SqliteError('the explorer', code)
}
/** Another connection runs SQL, unless a lock prevents it. */
const elsewhere = (sql: string): Injection['run'] => (lane) => {
  try {
    lane.elsewhere.exec(sql)
  } catch (error) {
    if ((error as { code?: string }).code !== 'SQLITE_BUSY') throw error
    if (lane.elsewhere.inTransaction) lane.elsewhere.exec('ROLLBACK')
  }
}
const another = `BEGIN IMMEDIATE;
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
  ['another update', elsewhere(another), [200]],
  ['the contact deleted', elsewhere("DELETE FROM omnichannel_contact WHERE id = 'maria'"), [200, 400]],
  ['the token revoked', elsewhere("DELETE FROM omnichannel_auth_token WHERE user_id = 'ann'"), [200, 401]],
  ['the role taken', elsewhere("DELETE FROM omnichannel_user_role WHERE user_id = 'ann'"), [200, 403]],
  ['the client gone', ({ replies }) => { replies[0]!.raw.destroy() }, [0, 200]],
  ['the reply hijacked', ({ replies }) => { if (!replies[0]!.sent && replies[0]!.hijack().sent) replies[0]!.raw.writeHead(504).end() }, [200, 504]],
  ['an answer of the host', ({ replies }) => { void replies[0]!.code(504).send({}) }, [200, 504]]
]

const three = ['Left', 'Ours', 'Right']

/** Faults for updates in a batch. */
const amongOthers = /^(SQLITE_IOERR|SQLITE_FULL.*|SQLITE_CONSTRAINT_TRIGGER, rolled back|another update|the token revoked|the client gone)$/

/** Every statement of an update, or of several together, and every fault. */
async function scenariosOf (lane: Lane, mode: Mode, together: string[], faults: FaultCase[]): Promise<Scenario[]> {
  const steps = await stepsOf(lane, mode, together)
  // Setting the busy timeout never fails.
  return steps.flatMap((sql, index) => sql.includes('busy_timeout') ? [] : faults.map(([what, run, allowed]) => ({
    name: `${index} of ${together.length}, ${sql.replace(/\s+/g, ' ').slice(0, 50)}: ${what}${describeMode(mode)}`, ...mode, together, allowed,
    // A fault of the transaction fails all updates that share it.
    failing: /^(BEGIN|COMMIT|PRAGMA|SELECT (count|total)|DELETE FROM main.omnichannel_migration)/.test(sql) ||
      /deleted|revoked|taken/.test(what) ? 3 : 1,
    injections: [{ at: /^/, after: index, run }], mayBeDone: sql === 'COMMIT'
  })))
}

for (const journalMode of ['WAL', 'DELETE'] as const) {
  t.test(`${journalMode}, every fault at every statement: the update is made once or not at all, and the answer says which`, async (t) => {
    freezeTurns(t)
    const lane = await openLane(t, journalMode)
    // From now on updates have savepoints.
    await explore(lane, { name: '', allowed: [500], together: ['Ours'], injections: [{ at: /omnichannel_room/, run: fail('SQLITE_IOERR') }] })
    const scenarios: Scenario[] = []
    for (const mode of modes) {
      if (journalMode === 'WAL') scenarios.push(...await scenariosOf(lane, mode, ['Ours'], faultsAtEach))
      else if (mode.isHooked) scenarios.push(...await scenariosOf(lane, mode, ['Ours'], faultsAtEach.filter(([what]) => amongOthers.test(what))))
      if (journalMode === 'WAL' && mode.isHooked) scenarios.push(...await scenariosOf(lane, mode, three, faultsAtEach.filter(([what]) => amongOthers.test(what))))
    }
    await exploreAll(t, scenarios, [lane], explore)
  })
}

t.test('without a WAL: no statement sleeps on a lock', async (t) => {
  freezeTurns(t)
  const lane = await openLane(t, 'DELETE')
  const run: Injection['run'] = ({ database, quietly }) => {
    if (quietly(() => database.pragma('busy_timeout', { simple: true })) !== 0) throw new Error('it may sleep')
  }
  const injections = [{ at: /^(?!PRAGMA)/, times: Infinity, run }]
  await exploreAll(t, modes.map((mode) => ({ name: describeMode(mode), ...mode, allowed: [200], injections })), [lane], explore)
})

t.test('without a WAL, a reader that would block COMMIT: beforeCommit is called once', async (t) => {
  freezeTurns(t)
  const lane = await openLane(t, 'DELETE')
  const run: Injection['run'] = ({ elsewhere }) => {
    elsewhere.exec('BEGIN; SELECT * FROM omnichannel_contact')
    elsewhere.prepare('SELECT count(*) FROM omnichannel_contact').get()
    setTimeout(() => { elsewhere.exec('COMMIT') }, 50)
  }
  await exploreAll(t, [{ name: 'a reader', allowed: [200], isHooked: true, calls: 1, injections: [{ at: /^BEGIN/, run }] }], [lane], explore)
})

t.test('a trigger that drops the write of the contact: nothing is written', async (t) => {
  freezeTurns(t)
  const lane = await openLane(t, 'WAL')
  lane.database.exec(`CREATE TRIGGER swallow BEFORE UPDATE ON omnichannel_contact WHEN new.name = 'Ours' BEGIN SELECT RAISE(IGNORE); END`)
  await exploreAll(t, modes.flatMap((mode) => [['Ours'], three].map((together) => ({
    name: `${together.length}${describeMode(mode)}`, ...mode, together, allowed: together.length === 1 ? [500] : [200, 500]
  }))), [lane], explore)
})

t.test('one update fails in a batch without savepoints: the others are made once', async (t) => {
  freezeTurns(t)
  const scenarios = await scenariosOf(await openLane(t, 'WAL'), modes[0]!, three, faultsAtEach.filter(([what]) => /^SQLITE_(IOERR|FULL, rolled back)$/.test(what)))
  // Each scenario has a handle of its own, because updates have savepoints after a failure.
  for (const scenario of scenarios.filter(({ name }) => /, (update|insert|delete|COMMIT)/.test(name))) {
    const lane = await openLane(t, 'WAL')
    await stepsOf(lane, modes[0]!, three)
    await exploreAll(t, [scenario], [lane], explore)
  }
})

async function stepsOf (lane: Lane, { isHooked, isKeyed }: Mode, together: string[]): Promise<string[]> {
  // Fills the cache.
  await explore(lane, { name: '', allowed: [200], together, isHooked, isKeyed })
  lane.reset()
  lane.begin([])
  await Promise.all(together.map(async (name) => { await lane.send(name, isHooked, isKeyed ? `key-of-${name}` : undefined) }))
  return [...lane.plan.passed]
}

/** What a `beforeCommit` can do, and the statuses that may follow. */
const callbacks: Record<string, [callback: Callback, allowed: number, failing?: number]> = {
  throws: [(_database, journal) => { journal(); throw new Error('of the host') }, 500],
  'throws null': [() => { throw null }, 500],
  'throws a status': [() => { throw Object.assign(new Error('of the host'), { statusCode: 404 }) }, 500],
  refuses: [(_database, journal) => { journal(); throw new UpdateRefusedError('no') }, 400],
  'returns a promise': [(_database, journal) => { journal(); return Promise.resolve() }, 500],
  'returns a promise that rejects': [(_database, journal) => { journal(); return Promise.reject(new Error('of the host')) }, 500],
  'returns a thenable': [(_database, journal) => { journal(); return { then: () => undefined } }, 500],
  'lets a statement fail': [(database, journal) => { journal(); try { database.exec('SELECT * FROM nothing') } catch {} }, 200],
  'leaves an iterator open': [(database, journal) => { journal(); iterate(database, 'SELECT id FROM omnichannel_contact') }, 500],
  'leaves a writing iterator open': [(database, journal) => {
    journal()
    iterate(database, "INSERT INTO omnichannel_statistic VALUES ('host', 1), ('other', 2) RETURNING name")
    // Until the host ends it, SQLite commits nothing on the handle.
  }, 500, 3],
  'leaves an iterator open and throws': [(database) => { iterate(database, 'SELECT id FROM omnichannel_contact'); throw new Error('of the host') }, 500],
  ...Object.fromEntries(['COMMIT', 'COMMIT; BEGIN', 'ROLLBACK', 'ROLLBACK; BEGIN', 'RELEASE omnichannel_update',
    'ROLLBACK TO omnichannel_update'].flatMap((sql) => {
    const allowed = sql.startsWith('COMMIT') ? 200 : 500
    const run: Callback = (database, journal) => { journal(); database.exec(sql) }
    const entries: Array<[string, [Callback, number]]> = [
      [`ends the transaction by ${sql}`, [run, allowed]],
      [`ends the transaction by ${sql}, and throws`, [(...args) => { run(...args); throw new Error('of the host') }, allowed]]
    ]
    return entries
  }))
}

t.test('every kind of beforeCommit, alone and in a batch: the answer fits the rows', async (t) => {
  freezeTurns(t)
  const lane = await openLane(t, 'WAL')
  const scenarios = Object.entries(callbacks).flatMap(([what, [callback, allowed, failing = 1]]) => [['Ours'], three].flatMap((together) => [false, true].map((isKeyed): Scenario => ({
    name: `beforeCommit ${what}${describeMode({ isKeyed })}, ${together.length}`, allowed: [allowed, ...together.length > 1 ? [200] : [], ...failing > 1 ? [503] : []], failing, callback, together, isHooked: true, isKeyed
  }))))
  await exploreAll(t, scenarios, [lane], explore)
})

t.test('a second fault during the recovery from the first: the update is made once or not at all', async (t) => {
  freezeTurns(t)
  const lane = await openLane(t, 'WAL')
  const scenarios: Scenario[] = []
  for (const mode of modes) {
    for (const together of [['Ours'], three]) {
      for (const first of [fail('SQLITE_FULL'), failAndRollBack('SQLITE_FULL')]) {
        for (const at of [/^update "main"."omnichannel_contact"/, /^insert into "main"."omnichannel_contact_phone"/, /^COMMIT/]) {
          for (let after = 0; after < (at.source === '^COMMIT' ? 1 : together.length); after++) {
            for (const code of ['SQLITE_FULL', 'SQLITE_IOERR', 'SQLITE_BUSY']) {
              for (const second of [/wal_checkpoint/, /^(BEGIN|ROLLBACK TO|SAVEPOINT)/]) {
                scenarios.push({
                  name: `${after} ${at.source} of ${together.length}: SQLITE_FULL${first.length > 0 ? ', rolled back' : ''}, and ${code} at ${second.source}${describeMode(mode)}`,
                  ...mode, together, allowed: [200, 500, 503], failing: 3, calls: 3,
                  injections: [{ at, after, run: first }, { at: second, times: Infinity, after: second.source.includes('BEGIN') ? 1 : 0, run: fail(code) }]
                })
              }
            }
          }
        }
      }
    }
  }
  await exploreAll(t, scenarios, [lane], explore)
})
