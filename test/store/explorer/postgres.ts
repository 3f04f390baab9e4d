// Databases and faults for the explorer on PostgreSQL.

import fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import pg, { type PoolClient } from 'pg'
import tap from 'tap'
import omnichannelContacts from '../../../src/index.js'
import { fill } from '../../helpers/test-server.js'
import { openSchema } from '../../helpers/postgres.js'
import { catchTimer, handlerTimeout, until } from '../../helpers/waiting.js'
import { createRecord, findProblems, withTimeout, type Limits, type Mode } from './explore.js'
import { fullName, normalize, resetSql, setUpSql, tables, type Rows } from './oracle.js'
import { isSilent, openProxy, type Fault, type Fields, type Injection } from './proxy.js'

/** In milliseconds. `short` is for faults that last until the deadline. */
const lockTimeouts = { short: 2000, long: 8000 }
const lastTimer = catchTimer(tap)

/** The name that the request under test sends. */
const OURS = 'Ours'

/** What `beforeCommit` does for the request under test. `journal` adds the row to the journal that it adds for all others. */
export type Callback = (client: PoolClient, journal: () => Promise<unknown>) => unknown

export interface Scenario extends Partial<Mode>, Limits {
  name: string
  injections?: (lane: Lane) => Injection[]
  /** What `beforeCommit` does. Unless given, it writes into the journal. */
  callback?: Callback
  /** Runs before the request. If it returns a function, this runs after the request. */
  prepare?: (lane: Lane) => Promise<(() => Promise<unknown>) | undefined>
  /** Whether the server has a short lockTimeout. By default it has one if a fault is permanent. */
  hasShortLockTimeout?: boolean
}

export type Lane = Awaited<ReturnType<typeof openLane>>

/** A lane is a database with two servers on it: `proxied` reaches it through a proxy, `direct` does not. Its scenarios run one after the other. */
async function openLane (isPipelined: boolean) {
  const proxy = await openProxy()
  const { db, database: directPool, settings, close } = await openSchema({ pipeline: isPipelined })
  const pool = new pg.Pool({ ...settings, host: proxy.host, max: 3 })
  directPool.options.application_name = `${settings.application_name}_direct`
  const record = createRecord()
  const lane = {
    ...record, proxy, pool, directPool,
    /** The requests and statements of other clients. */
    others: [] as Array<Promise<unknown>>,
    /** The clients of calls of `beforeCommit` that have not ended. */
    clientsInUse: new Set<PoolClient>(),
    hasCallback: false, hasShortLockTimeout: false, callback: undefined as Callback | undefined, reply: undefined as FastifyReply | undefined,
    /** Lets the `handlerTimeout` of the request expire. */
    expire: (): void => undefined,
    apps: {} as Record<'proxied' | 'direct', FastifyInstance>,
    send: async ({ app, name, hasCallback, key }: { app: 'proxied' | 'direct', name: string, hasCallback: boolean, key?: string | undefined }) => {
      const lockTimeout = lane.hasShortLockTimeout && name === OURS ? 'short' : 'long'
      await record.post(lane.apps[app], `/${hasCallback ? 'with-callback' : 'plain'}/${lockTimeout}`, name, key)
    },
    /** Sends the request under test. */
    sendOurs: async ({ hasCallback, hasKey }: Mode) => {
      await lane.send({ app: 'proxied', name: OURS, hasCallback, key: hasKey ? 'key' : undefined })
    },
    sql: async (sql: string) => await directPool.query<Record<string, never>>(sql),
    rows: async (): Promise<Rows> => {
      const lists = tables.map((table) => `'${table}', (SELECT coalesce(json_agg(row), '[]') FROM ${fullName(table)} AS row)`)
      const { rows: [row] } = await lane.sql(`SELECT json_build_object(${lists.join()}) AS rows`)
      return normalize(row?.rows as unknown as Rows)
    },
    reset: async () => {
      await lane.sql(resetSql)
      record.clear()
      lane.others.length = 0
      lane.clientsInUse.clear()
      lane.callback = lane.reply = undefined
    }
  }

  const beforeCommit = async ({ contact: { name } }: { contact: { name: string } }, client: PoolClient) => {
    lane.namesBeforeCommit.push(name)
    const journal = async () => await client.query('INSERT INTO journal VALUES ($1)', [name])
    const callback = name === OURS ? lane.callback : undefined
    lane.clientsInUse.add(client)
    try {
      await (callback === undefined ? journal() : callback(client, journal))
    } finally {
      lane.clientsInUse.delete(client)
    }
  }
  const openApp = async (database: pg.Pool, app: FastifyInstance): Promise<FastifyInstance> => {
    for (const [length, lockTimeout] of Object.entries(lockTimeouts)) {
      const options = { database, migrate: false, lockTimeout, onContactUpdated: record.onContactUpdated }
      await app.register(omnichannelContacts, { ...options, prefix: `/plain/${length}` })
      await app.register(omnichannelContacts, { ...options, prefix: `/with-callback/${length}`, beforeCommit })
    }
    await app.ready()
    return app
  }

  await fastify().register(omnichannelContacts, { database: directPool })
  const proxied = fastify({ handlerTimeout, logger: record.logger })
  proxied.addHook('onRequest', async (_request, reply) => { Object.assign(lane, { reply, expire: lastTimer() }) })
  lane.apps = { proxied: await openApp(pool, proxied), direct: await openApp(directPool, fastify()) }
  await fill(db)
  await db.exec(setUpSql('postgres'))

  tap.teardown(async () => {
    for (const app of Object.values(lane.apps)) await withTimeout(app.close(), 'app.close()')
    await pool.end()
    proxy.close()
    await close()
  })
  return lane
}

/** Makes the proxied server forget that the caller has the rights, so that the next request looks them up. */
export async function forgetCaller (lane: Lane): Promise<undefined> {
  await lane.sql('DELETE FROM omnichannel_auth_token')
  await lane.sendOurs({ hasCallback: lane.hasCallback, hasKey: false })
  await lane.sql(resetSql)
  lane.clear()
  return undefined
}

const openedLanes: Record<string, Promise<Lane[]>> = {}

/** Six lanes, opened once for all tests of a file. They run scenarios at the same time. */
export async function openLanes (isPipelined = true): Promise<Lane[]> {
  return await (openedLanes[String(isPipelined)] ??= Promise.all(Array.from({ length: 6 }, async () => await openLane(isPipelined))))
}

/** Runs a scenario, and returns the problems that it found. Whether later updates work is seen in the next scenario. */
export async function explore (lane: Lane, { hasCallback = false, hasKey = false, ...scenario }: Scenario): Promise<string[]> {
  const { pool, proxy } = lane
  await lane.reset()
  proxy.plan.begin([])
  await pool.query('SELECT 1')
  lane.hasCallback = hasCallback
  const injections = scenario.injections?.(lane) ?? []
  const isPermanent = injections.some(({ fault, times }) => isSilent(fault) || times === Infinity)
  Object.assign(lane, { callback: scenario.callback, hasShortLockTimeout: scenario.hasShortLockTimeout ?? isPermanent })
  const cleanUp = await scenario.prepare?.(lane)
  const before = await lane.rows()
  proxy.plan.begin(injections)
  const problems: string[] = []
  try {
    await withTimeout(lane.sendOurs({ hasCallback, hasKey }), 'the request')
    await cleanUp?.()
    await withTimeout(Promise.all(lane.others), 'what another client does')
    await untilIdle(lane)
  } catch (error) {
    problems.push(String(error))
  }
  const { requests, log } = lane
  const after = await lane.rows()
  for (const client of lane.clientsInUse) {
    await client.query('SELECT 1').then(() => problems.push('a client that beforeCommit still has is used again'), () => undefined)
  }
  const status = requests[0]?.reply?.statusCode ?? 0
  if (!scenario.allowed.includes(status)) problems.push(`the answer is ${status} ${requests[0]?.reply?.body} ${log.join()}`)
  const unused = proxy.plan.unused()
  if (unused.length > 0) problems.push(`${unused.map(({ fault, at }) => `${fault.do} at ${String(at)}`).join()} did not happen`)
  problems.push(...findProblems({ record: lane, before, after, limits: { ...scenario, hasCallback }, names: [OURS] }))
  return problems
}

/** Waits until no client of the pool is in use, and the server has no open transaction of the pool. */
async function untilIdle ({ pool, sql }: Lane): Promise<void> {
  await withTimeout(until(() => pool.idleCount === pool.totalCount && pool.waitingCount === 0), 'the use of the pool')
  const openTransactions = `SELECT 1 FROM pg_stat_activity WHERE state LIKE 'idle in%' AND application_name = '${pool.options.application_name}'`
  await withTimeout(until(async () => (await sql(openTransactions)).rows.length === 0), 'a transaction')
}

export const COMMIT = /^COMMIT$/
export const error = (sqlState: string, otherFields: Fields = {}): Fields => ({ C: sqlState, ...otherFields })

export type FaultCase = [what: string, fault: Fault, allowed: number[]]
/** The server refuses a statement with an error after which the update is tried again. */
export const retriedAfter = (fields: Fields): FaultCase => [`refused ${fields.C}`, { do: 'refuse', fields }, [200]]
/** The server refuses a statement with an error after which the update fails. */
export const failedAfter = (fields: Fields): FaultCase => [`refused ${fields.C}`, { do: 'refuse', fields }, [500]]

/** What can happen at each statement, and the statuses that may follow. */
export const faultsAtEach: FaultCase[] = [
  ['lost before', { do: 'cut-before' }, [200]],
  ['lost after', { do: 'cut-after' }, [200]],
  ['notice', { do: 'notice', fields: error('01000') }, [200]],
  ['shutdown', { do: 'shutdown' }, [200]],
  ['silence before', { do: 'hold-before' }, [503, 500]],
  ['silence after', { do: 'hold-after' }, [200, 503, 500]],
  retriedAfter(error('40001')),
  failedAfter(error('XX000'))
]

/** What another client can do during the request. */
export const meanwhile: Record<string, (lane: Lane) => Promise<unknown>> = {
  'another update': async (lane) => await sendAnother(lane, 'Other'),
  'the same request with the same key': async (lane) => await sendAnother(lane, OURS, 'key'),
  'the same key for another request': async (lane) => await sendAnother(lane, 'Other', 'key'),
  'the contact deleted': async (lane) => await untilDoneOrWaiting(lane, lane.sql("DELETE FROM omnichannel_contact WHERE id = 'maria'")),
  'the token revoked': async (lane) => await lane.sql("DELETE FROM omnichannel_auth_token WHERE user_id = 'ann'"),
  'the user deactivated': async (lane) => await lane.sql("UPDATE omnichannel_user SET active = false WHERE id = 'ann'"),
  'the role taken': async (lane) => await lane.sql("DELETE FROM omnichannel_user_role WHERE user_id = 'ann'")
}

/** The status of a request whose rights have ended by one of `meanwhile`. */
export const statusWithoutRights: Record<string, number> = { 'the token revoked': 401, 'the user deactivated': 401, 'the role taken': 403 }

async function sendAnother (lane: Lane, name: string, key?: string): Promise<void> {
  await untilDoneOrWaiting(lane, lane.send({ app: 'direct', name, hasCallback: lane.hasCallback, key }))
}

/** Resolves once what another client does has ended or waits for a lock. */
async function untilDoneOrWaiting (lane: Lane, other: Promise<unknown>): Promise<void> {
  let isDone = false
  lane.others.push(other.finally(() => { isDone = true }))
  const waiting = `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = '${lane.directPool.options.application_name}'`
  await withTimeout(until(async () => isDone || (await lane.sql(waiting)).rows.length > 0), 'the other client')
}
