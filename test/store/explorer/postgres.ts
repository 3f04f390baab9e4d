// Databases and faults for the explorer on PostgreSQL.

import fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import pg, { type PoolClient } from 'pg'
import tap from 'tap'
import omnichannelContacts from '../../../src/index.js'
import { fill } from '../../helpers/build.js'
import { openSchema } from '../../helpers/postgres.js'
import { catchTimer, handlerTimeout, until } from '../../helpers/waiting.js'
import { createRecord, examine, within, type Limits, type Mode } from './explore.js'
import { fullName, normalize, resetSql, setUpSql, tables, type Rows } from './oracle.js'
import { openProxy, type Fault, type Fields, type Injection } from './proxy.js'

/** `short` is for faults that last until the deadline. */
const lockTimeouts = { short: 2000, long: 8000 }
const lastTimer = catchTimer(tap)

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

/** A lane is a database with two servers on it. The first is behind a proxy. Scenarios run in a lane one after the other. */
async function openLane (isPipelined: boolean) {
  const proxy = await openProxy()
  const { db, database: direct, settings, close } = await openSchema({ pipeline: isPipelined })
  const pool = new pg.Pool({ ...settings, host: proxy.host, max: 3 })
  direct.options.application_name = `${settings.application_name}_direct`
  const record = createRecord()
  const lane = {
    ...record, proxy, pool, direct, others: [] as Array<Promise<unknown>>,
    /** The clients of calls of `beforeCommit` that have not ended. */
    held: new Set<PoolClient>(),
    isHooked: false, hasShortLockTimeout: false, callback: undefined as Callback | undefined, reply: undefined as FastifyReply | undefined,
    /** Lets the `handlerTimeout` of the request expire. */
    expire: (): void => undefined,
    apps: {} as Record<'near' | 'far', FastifyInstance>,
    /** Sends a request to a server; `far` is not behind the proxy. */
    send: async (app: FastifyInstance, isHooked: boolean, name: string, key?: string) => {
      await record.post(app, `/${isHooked ? 'hooked' : 'plain'}/${lane.hasShortLockTimeout && name === 'Ours' ? 'short' : 'long'}`, name, key)
    },
    sql: async (sql: string) => await direct.query<Record<string, never>>(sql),
    rows: async (): Promise<Rows> => {
      const lists = tables.map((table) => `'${table}', (SELECT coalesce(json_agg(row), '[]') FROM ${fullName(table)} AS row)`)
      const { rows: [row] } = await lane.sql(`SELECT json_build_object(${lists.join()}) AS rows`)
      return normalize(row?.rows as unknown as Rows)
    },
    reset: async () => {
      await lane.sql(resetSql)
      record.forget()
      lane.others.length = 0
      lane.held.clear()
      lane.callback = lane.reply = undefined
    }
  }

  await fastify().register(omnichannelContacts, { database: direct })
  for (const [name, database] of Object.entries({ near: pool, far: direct })) {
    const app = fastify(name === 'near' ? { handlerTimeout, logger: record.logger } : {})
    if (name === 'near') app.addHook('onRequest', async (_request, reply) => { Object.assign(lane, { reply, expire: lastTimer() }) })
    const beforeCommit = async ({ contact: { name } }: { contact: { name: string } }, client: PoolClient) => {
      lane.called.push(name)
      const journal = async () => await client.query('INSERT INTO journal VALUES ($1)', [name])
      const callback = name === 'Ours' ? lane.callback : undefined
      lane.held.add(client)
      try {
        await (callback === undefined ? journal() : callback(client, journal))
      } finally {
        lane.held.delete(client)
      }
    }
    for (const [limit, lockTimeout] of Object.entries(lockTimeouts)) {
      const options = { database, migrate: false, lockTimeout, onContactUpdated: record.onContactUpdated }
      await app.register(omnichannelContacts, { ...options, prefix: `/plain/${limit}` })
      await app.register(omnichannelContacts, { ...options, prefix: `/hooked/${limit}`, beforeCommit })
    }
    await app.ready()
    lane.apps[name as 'near'] = app
  }
  await fill(db)
  await db.exec(setUpSql('postgres'))

  tap.teardown(async () => {
    for (const app of Object.values(lane.apps)) await within(app.close(), 'app.close()')
    await pool.end()
    proxy.close()
    await close()
  })
  return lane
}

const opened: Record<string, Promise<Lane[]>> = {}

/** Six lanes, opened once for all tests of a file. They run scenarios at the same time. */
export async function openLanes (isPipelined = true): Promise<Lane[]> {
  return await (opened[String(isPipelined)] ??= Promise.all(Array.from({ length: 6 }, async () => await openLane(isPipelined))))
}

/** Runs a scenario, and returns the problems that it found. */
export async function explore (lane: Lane, { allowed, injections, isHooked = false, isKeyed = false,
  callback, prepare, ...scenario }: Scenario): Promise<string[]> {
  const { pool, proxy } = lane
  await lane.reset()
  proxy.plan.begin([])
  await pool.query('SELECT 1')
  lane.isHooked = isHooked
  const planned = injections?.(lane) ?? []
  const lasts = planned.some(({ fault, times }) => fault.do.startsWith('hold') || times === Infinity)
  Object.assign(lane, { callback, hasShortLockTimeout: scenario.hasShortLockTimeout ?? lasts })
  const tidyUp = await prepare?.(lane)
  const before = await lane.rows()
  proxy.plan.begin(planned)
  const problems: string[] = []
  try {
    await within(lane.send(lane.apps.near, isHooked, 'Ours', isKeyed ? 'key' : undefined), 'the request')
    await tidyUp?.()
    await within(Promise.all(lane.others), 'the others')
    await within(until(() => pool.idleCount === pool.totalCount && pool.waitingCount === 0), 'the use of the pool')
    const open = `SELECT 1 FROM pg_stat_activity WHERE state LIKE 'idle in%' AND application_name = '${pool.options.application_name}'`
    await within(until(async () => (await lane.sql(open)).rows.length === 0), 'a transaction')
  } catch (error) {
    problems.push(String(error))
  }
  const { requests, log, held } = lane
  const after = await lane.rows()
  for (const client of held) await client.query('SELECT 1').then(() => problems.push('a client that beforeCommit still has is used again'), () => undefined)
  const status = requests[0]?.reply?.statusCode ?? 0
  if (!allowed.includes(status)) problems.push(`the answer is ${status} ${requests[0]?.reply?.body} ${log.join()}`)
  const left = proxy.plan.left()
  if (left.length > 0) problems.push(`${left.map(({ fault, at }) => `${fault.do} at ${String(at)}`).join()} did not happen`)
  problems.push(...examine(lane, { before, after }, { ...scenario, isHooked }, ['Ours']))
  // Whether later updates work is seen in the next scenario.
  return problems
}

export const COMMIT = /^COMMIT$/
export const error = (code: string, more: Fields = {}): Fields => ({ C: code, ...more })

export type FaultCase = [what: string, fault: Fault, allowed: number[]]
// The server refuses a statement with an error after which the update is tried again, or fails.
export const retriedAfter = (fields: Fields): FaultCase => [`refused ${fields.C}`, { do: 'refuse', fields }, [200]]
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
/** What another client can do meanwhile. */
export const meanwhile: Record<string, (lane: Lane) => Promise<unknown>> = {
  'another update': async (lane) => await sendAnother(lane, 'Other'),
  'the same request with the same key': async (lane) => await sendAnother(lane, 'Ours', 'key'),
  'the same key for another request': async (lane) => await sendAnother(lane, 'Other', 'key'),
  'the contact deleted': async (lane) => await untilDoneOrWaiting(lane, lane.sql("DELETE FROM omnichannel_contact WHERE id = 'maria'")),
  'the token revoked': async (lane) => await lane.sql("DELETE FROM omnichannel_auth_token WHERE user_id = 'ann'"),
  'the user deactivated': async (lane) => await lane.sql("UPDATE omnichannel_user SET active = false WHERE id = 'ann'"),
  'the role taken': async (lane) => await lane.sql("DELETE FROM omnichannel_user_role WHERE user_id = 'ann'")
}
export const refusal: Record<string, number> = { 'the token revoked': 401, 'the user deactivated': 401, 'the role taken': 403 }

async function sendAnother (lane: Lane, name: string, key?: string): Promise<void> {
  await untilDoneOrWaiting(lane, lane.send(lane.apps.far, lane.isHooked, name, key))
}

/** Resolves once the work is done or waits for a lock. */
async function untilDoneOrWaiting (lane: Lane, work: Promise<unknown>): Promise<void> {
  let isDone = false
  lane.others.push(work.finally(() => { isDone = true }))
  const waiting = `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = '${lane.direct.options.application_name}'`
  await within(until(async () => isDone || (await lane.sql(waiting)).rows.length > 0), 'the other')
}
