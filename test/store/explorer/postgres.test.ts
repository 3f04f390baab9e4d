// The explorer of faults on PostgreSQL: every statement of an update, and everything that can happen there.

import fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import pg, { type PoolClient } from 'pg'
import { setTimeout as pause } from 'node:timers/promises'
import type { Test } from 'tap'
import omnichannelContacts, { UpdateRefusedError } from '../../../src/index.js'
import { as, fill } from '../../build.js'
import { postgres as t } from '../../engines.js'
import { openSchema } from '../../postgres.js'
import { exploreAll, freeze, modes, now, within, words, type Mode } from './explore.js'
import { bodyOf, fullName, judge, normalize, resetSql, setUpSql, tables, type Request, type Rows } from './oracle.js'
import { openProxy, type Fault, type Fields, type Injection } from './proxy.js'

/** For what lasts until then, and for all else. */
const lockTimeouts = { brief: 600, long: 8000 }
const lanes = 6

type Host = (client: PoolClient, journal: () => Promise<unknown>) => unknown

interface Scenario extends Partial<Mode> {
  name: string
  /** The statuses that the request may have; 0 where its client is gone. */
  wanted: number[]
  injections?: (lane: Lane) => Injection[]
  /** What `beforeCommit` does. Unless given, it writes into the journal. */
  host?: Host
  /** Runs before the request. What it returns runs after. */
  prepare?: (lane: Lane) => Promise<(() => Promise<unknown>) | undefined>
  mayBeInDoubt?: boolean
  /** Whether the update may be made although its client is gone. */
  mayBeDone?: boolean
  /** How often `beforeCommit` may be called for the request; twice unless given. */
  calls?: number
  handlerTimeout?: boolean
  /** Whether the deadline is near. It is where a fault lasts. */
  isBrief?: boolean
}

type Lane = Awaited<ReturnType<typeof openLane>>

/** A database with two servers on it, of which the first is behind a proxy. Scenarios take place in it one after the other. */
async function openLane (t: Test, isPipelined: boolean) {
  const proxy = await openProxy()
  const { db, database: direct, settings, close } = await openSchema({ pipeline: isPipelined })
  const pool = new pg.Pool({ ...settings, host: proxy.host, max: 3 })
  direct.options.application_name = `${settings.application_name}_direct`
  const lane = {
    proxy, pool, direct,
    log: [] as string[], told: [] as string[], called: [] as string[],
    requests: [] as Request[], under: [] as Array<Promise<unknown>>,
    /** The clients of calls of `beforeCommit` that have not ended. */
    held: new Set<PoolClient>(),
    isHooked: false, isBrief: false, host: undefined as Host | undefined, reply: undefined as FastifyReply | undefined,
    apps: {} as Record<'near' | 'far' | 'timed', FastifyInstance>,
    /** Sends a request to a server; `far` is not behind the proxy. */
    send: async (app: FastifyInstance, isHooked: boolean, name: string, key?: string) => {
      const request: Request = { name, key }
      lane.requests.push(request)
      const url = `/${isHooked ? 'hooked' : 'plain'}/${lane.isBrief && name === 'Ours' ? 'brief' : 'long'}/omnichannel/contacts.update`
      const headers = { ...as('ann'), ...key !== undefined && { 'idempotency-key': key } }
      // A client that is gone gets no reply.
      request.reply = await app.inject({ method: 'POST', url, headers, payload: bodyOf(name) }).catch(() => undefined)
    },
    sql: async (sql: string) => await direct.query<Record<string, never>>(sql),
    rows: async (): Promise<Rows> => {
      const lists = tables.map((table) => `'${table}', (SELECT coalesce(json_agg(row), '[]') FROM ${fullName(table)} AS row)`)
      const { rows: [row] } = await lane.sql(`SELECT json_build_object(${lists.join()}) AS rows`)
      return normalize(row?.rows as unknown as Rows)
    },
    reset: async () => {
      await lane.sql(resetSql)
      for (const list of [lane.log, lane.told, lane.called, lane.requests, lane.under]) list.length = 0
      lane.held.clear()
      lane.host = lane.reply = undefined
    }
  }

  await fastify().register(omnichannelContacts, { database: direct })
  for (const [name, database] of Object.entries({ near: pool, far: direct, timed: pool })) {
    const app = fastify({
      ...name === 'timed' && { handlerTimeout: 1000 },
      logger: { level: 'warn', stream: { write: (line: string) => { if (name !== 'far') lane.log.push(line) } } }
    })
    app.addHook('onRequest', async (_request, reply) => { if (name !== 'far') lane.reply = reply })
    const onContactUpdated = ({ contact }: { contact: { name: string } }) => { lane.told.push(contact.name) }
    const beforeCommit = async ({ contact: { name } }: { contact: { name: string } }, client: PoolClient) => {
      lane.called.push(name)
      const journal = async () => await client.query('INSERT INTO journal VALUES ($1)', [name])
      const host = name === 'Ours' ? lane.host : undefined
      lane.held.add(client)
      try {
        await (host === undefined ? journal() : host(client, journal))
      } finally {
        lane.held.delete(client)
      }
    }
    for (const [patience, lockTimeout] of Object.entries(lockTimeouts)) {
      const options = { database, migrate: false, lockTimeout, onContactUpdated }
      await app.register(omnichannelContacts, { ...options, prefix: `/plain/${patience}` })
      await app.register(omnichannelContacts, { ...options, prefix: `/hooked/${patience}`, beforeCommit })
    }
    await app.ready()
    lane.apps[name as 'near'] = app
  }
  await fill(db)
  await db.exec(setUpSql('postgres'))

  t.teardown(async () => {
    for (const app of Object.values(lane.apps)) await within(app.close(), 'app.close()')
    await pool.end()
    proxy.close()
    await close()
  })
  return lane
}

async function until (holds: () => Promise<boolean> | boolean, what: string): Promise<void> {
  const end = performance.now() + 5000
  while (!await holds()) {
    if (performance.now() > end) throw new Error(`${what} does not come`)
    await pause(2)
  }
}

/** Runs a scenario, and returns what is wrong. */
async function explore (lane: Lane, { wanted, injections, isHooked = false, isKeyed = false,
  host, prepare, ...scenario }: Scenario): Promise<string[]> {
  const { pool, proxy } = lane
  await lane.reset()
  proxy.plan.begin([])
  await pool.query('SELECT 1')
  lane.isHooked = isHooked
  const planned = injections?.(lane) ?? []
  const lasts = planned.some(({ fault, times }) => fault.do.startsWith('hold') || times === Infinity)
  Object.assign(lane, { host, isBrief: scenario.isBrief ?? lasts })
  const tidyUp = await prepare?.(lane)
  const before = await lane.rows()
  proxy.plan.begin(planned)
  const broken: string[] = []
  try {
    const app = scenario.handlerTimeout === true ? lane.apps.timed : lane.apps.near
    await within(lane.send(app, isHooked, 'Ours', isKeyed ? 'key' : undefined), 'the request')
    await tidyUp?.()
    await within(Promise.all(lane.under), 'the others')
    await until(() => pool.idleCount === pool.totalCount && pool.waitingCount === 0, 'an idle pool')
    const isOpen = async () => (await lane.sql(`SELECT 1 FROM pg_stat_activity WHERE state LIKE 'idle in%' AND application_name = '${pool.options.application_name}'`)).rows.length > 0
    await until(async () => !await isOpen(), 'the end of all transactions')
  } catch (error) {
    broken.push(String(error))
  }
  const { requests, told, called, log, held } = lane
  const after = await lane.rows()
  for (const client of held) await client.query('SELECT 1').then(() => broken.push('a client that beforeCommit still has is used again'), () => undefined)
  const status = requests[0]?.reply?.statusCode ?? 0
  if (!wanted.includes(status)) broken.push(`the answer is ${status} ${requests[0]?.reply?.body} ${log.join()}`)
  const left = proxy.plan.left()
  if (left.length > 0) broken.push(`${left.map(({ fault, at }) => `${fault.do} at ${String(at)}`).join()} did not happen`)
  const calls = called.filter((name) => name === 'Ours').length
  if (calls > (scenario.calls ?? 2)) broken.push(`beforeCommit was called ${calls} times`)
  broken.push(...judge({
    before, after, requests, told, called: isHooked ? called : undefined, log,
    mayBeInDoubt: scenario.mayBeInDoubt ?? false, mayBeDone: scenario.mayBeDone ?? false
  }, now))
  // That the next one is served is what the next scenario shows.
  return broken
}

/** Every statement, as it passes in an update that nothing happens to. */
async function stepsOf (lane: Lane, isHooked: boolean, isKeyed: boolean): Promise<string[]> {
  await explore(lane, { name: '', wanted: [200], isHooked, isKeyed })
  await lane.reset()
  lane.proxy.plan.begin([])
  await lane.send(lane.apps.near, isHooked, 'Ours', isKeyed ? 'key' : undefined)
  return [...lane.proxy.plan.passed]
}

const isLock = (text: string): boolean => text.includes('from "omnichannel_contact"') && text.includes('for no key update')
const COMMIT = /^COMMIT$/
const error = (code: string, more: Fields = {}): Fields => ({ C: code, ...more })

/** SQLSTATEs after which the same transaction may succeed, and others. */
const transient = [
  error('40P01'), error('25006'), error('57014'), error('53300'), error('55P03'), error('26000'), error('08006'),
  error('0A000', { R: 'RevalidateCachedQuery' }), error('57P01', { S: 'FATAL' }), error('57P02', { S: 'FATAL' }),
  error('23502', { t: 'omnichannel_idempotency_key' })
]
const final = [error('23505'), error('P0001'), error('22P02'), error('0A000'), error('23502', { t: 'journal' }), error('42P01'), error('53100')]

type Happening = [what: string, fault: Fault, wanted: number[]]
const retried = (fields: Fields): Happening => [`refused ${fields.C}`, { do: 'refuse', fields }, [200]]
const failed = (fields: Fields): Happening => [`refused ${fields.C}`, { do: 'refuse', fields }, [500]]

/** What can happen at each statement, and the statuses that may follow. */
const atEach: Happening[] = [
  ['lost before', { do: 'cut-before' }, [200]],
  ['lost after', { do: 'cut-after' }, [200]],
  ['notice', { do: 'notice', fields: error('01000') }, [200]],
  ['farewell', { do: 'farewell' }, [200]],
  ['silence before', { do: 'hold-before' }, [503, 500]],
  ['silence after', { do: 'hold-after' }, [200, 503, 500]],
  retried(error('40001')),
  failed(error('XX000'))
]
/** What is tried at one statement of each kind. */
const atSome: Happening[] = [...transient.map(retried), ...final.map(failed)]

/** What another can do meanwhile. */
const meanwhile: Record<string, (lane: Lane) => Promise<unknown>> = {
  'another update': async (lane) => await another(lane, 'Other'),
  'the same request with the same key': async (lane) => await another(lane, 'Ours', 'key'),
  'the same key for another request': async (lane) => await another(lane, 'Other', 'key'),
  'the contact deleted': async (lane) => await aside(lane, lane.sql("DELETE FROM omnichannel_contact WHERE id = 'maria'")),
  'the token revoked': async (lane) => await lane.sql("DELETE FROM omnichannel_auth_token WHERE user_id = 'ann'"),
  'the user deactivated': async (lane) => await lane.sql("UPDATE omnichannel_user SET active = false WHERE id = 'ann'"),
  'the role taken': async (lane) => await lane.sql("DELETE FROM omnichannel_user_role WHERE user_id = 'ann'")
}
const refusal: Record<string, number> = { 'the token revoked': 401, 'the user deactivated': 401, 'the role taken': 403 }

async function another (lane: Lane, name: string, key?: string): Promise<void> {
  await aside(lane, lane.send(lane.apps.far, lane.isHooked, name, key))
}

/** Resolves when the work is done, or waits for a lock. */
async function aside (lane: Lane, work: Promise<unknown>): Promise<void> {
  let isDone = false
  lane.under.push(work.finally(() => { isDone = true }))
  await until(async () => isDone || (await lane.sql(
    `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = '${lane.direct.options.application_name}'`)).rows.length > 0, 'the other')
}

/** What can become of the reply meanwhile. */
const replies: Record<string, [act: (lane: Lane) => unknown, status: number]> = {
  'the client gone': [({ reply }) => reply!.raw.destroy(), 0],
  'the reply hijacked': [({ reply }) => { if (!reply!.sent && reply!.hijack().sent) reply!.raw.writeHead(504).end() }, 504],
  'an answer of the host': [({ reply }) => { void reply!.code(504).send({}) }, 504]
}

t.test('every statement and every fault: done once or not at all, and the answer says which', async (t) => {
  freeze(t)
  const open = await openLanes(t)
  const scenarios: Scenario[] = []
  const short = (text: string): string => text.replace(/\s+/g, ' ').slice(0, 40)

  for (const mode of modes) {
    const steps = await stepsOf(open[0]!, mode.isHooked, mode.isKeyed)
    const lock = steps.findIndex(isLock)
    const begin = steps.findIndex((text) => text.startsWith('BEGIN'))
    // From here on only the update may answer.
    const locked = steps.findIndex((text) => mode.isHooked ? text.startsWith('RELEASE') : text.includes('update "omnichannel_contact"'))
    const recheck = lock + steps.slice(lock).findIndex((text) => text.includes('omnichannel_auth_token'))
    t.match(steps.at(-1), 'COMMIT')
    t.ok(begin > 0 && lock > begin && recheck > lock, 'the contact is locked before the rights are read')

    // The reads are the same in both modes.
    for (const [index, text] of [...steps.entries()].filter(([index]) => mode.isHooked || index > recheck)) {
      const add = (what: string, fault: (lane: Lane) => Fault, wanted: number[], more: Partial<Scenario> = {}): void => {
        scenarios.push({
          name: `${index} ${short(text)}: ${what}${words(mode)}`, ...mode, wanted, injections: (lane) => [{ at: /^/, after: index, fault: fault(lane) }], ...more
        })
      }
      const isOfHost = text.startsWith('INSERT INTO journal')
      const isCommit = text === 'COMMIT'
      const isFirstOfItsKind = isOfHost || isCommit || index === begin || index === lock || text.includes('update "omnichannel_contact"') ||
        text.includes('insert into "omnichannel_idempotency_key"')
      for (const [what, fault, wanted] of isFirstOfItsKind ? [...atEach, ...atSome] : atEach) {
        // A silence at a host's own statement is a callback that does not end.
        add(what, () => fault, isOfHost && fault.do.startsWith('hold') ? [500] : wanted, { mayBeInDoubt: fault.do.startsWith('hold') })
      }
      for (const [what, run] of Object.entries(meanwhile)) {
        if (what.includes('same key') && !mode.isKeyed) continue
        const status = refusal[what]
        const wanted = status !== undefined ? index <= lock ? [status] : index <= recheck ? [status, 200] : [200]
          : what === 'the contact deleted' ? [200, 400] : what === 'the same key for another request' ? [200, 422] : [200]
        add(`meanwhile ${what}`, (lane) => ({ do: 'meanwhile-before', run: async () => { await run(lane) } }), wanted)
      }
      for (const [what, [act, status]] of Object.entries(replies)) {
        add(`meanwhile ${what}`, (lane) => ({ do: 'meanwhile-before', run: async () => { act(lane) } }), index < locked || status === 0 ? [status] : [200], { mayBeDone: index >= locked })
      }
    }
  }
  await exploreAll(t, scenarios, open, explore)
})

/** What a `beforeCommit` can do, and the statuses that may follow. */
const hosts: Record<string, [host: Host, wanted: number[], more?: Partial<Scenario>]> = {
  throws: [async (_client, journal) => { await journal(); throw new Error('of the host') }, [500], { calls: 1 }],
  'throws at once': [() => { throw new Error('of the host') }, [500], { calls: 1 }],
  'throws null': [() => { throw null }, [500], { calls: 1 }],
  'throws a status': [() => { throw Object.assign(new Error('of the host'), { statusCode: 404, code: 'FST_ERR_NOT_FOUND' }) }, [500], { calls: 1 }],
  refuses: [async (_client, journal) => { await journal(); throw new UpdateRefusedError('no') }, [400], { calls: 1 }],
  'refuses after a failed statement': [async (client) => { await client.query('SELECT 1/0').catch(() => { throw new UpdateRefusedError('no') }) }, [400], { calls: 1 }],
  'cannot reach another server': [() => { throw Object.assign(new Error('of the host'), { code: 'ECONNREFUSED' }) }, [500], { calls: 1 }],
  'throws the SQLSTATE of another database': [() => { throw Object.assign(new Error('of the host'), { code: '40001' }) }, [500], { calls: 1 }],
  'lets a statement fail': [async (client) => { await client.query('SELECT 1/0').catch(() => undefined) }, [500], { calls: 1 }],
  'does not wait for a statement that fails': [(client) => { client.query('SELECT 1/0').catch(() => undefined) }, [500], { calls: 1 }],
  'does not wait for its statement': [(_client, journal) => { void journal() }, [200]],
  'never ends': [async (_client, journal) => { await journal(); await new Promise(() => undefined) }, [500], { calls: 1, isBrief: true, mayBeInDoubt: true }],
  'waits for a statement that does not end': [async (client) => { await client.query('SELECT pg_sleep(5)') }, [500], { calls: 1, isBrief: true, mayBeInDoubt: true }],
  'releases its client': [(client) => { client.release() }, [500], { calls: 1 }],
  'destroys its client': [(client) => { client.release(true) }, [500], { calls: 1 }],
  'releases the savepoint': [async (client) => { await client.query('RELEASE SAVEPOINT omnichannel_update') }, [500], { calls: 1 }],
  'rolls back to the savepoint': [async (client, journal) => { await client.query('ROLLBACK TO SAVEPOINT omnichannel_update'); await journal() }, [200]],
  'changes the encoding': [async (client, journal) => { await journal(); await client.query("SET client_encoding = 'LATIN1'") }, [200]],
  'changes the search path': [async (client, journal) => { await journal(); await client.query('SET LOCAL search_path = pg_catalog') }, [200]],
  ...Object.fromEntries(['COMMIT', 'COMMIT; BEGIN', 'COMMIT AND CHAIN', 'ROLLBACK', 'ROLLBACK; BEGIN', 'ROLLBACK AND CHAIN'].flatMap((sql) => {
    const wanted = sql.startsWith('COMMIT') ? [200] : [500]
    const run: Host = async (client, journal) => { await journal(); await client.query(sql) }
    const more: Partial<Scenario> = { calls: 1 }
    const entries: Array<[string, [Host, number[], Partial<Scenario>]]> = [
      [`ends the transaction by ${sql}`, [run, wanted, more]],
      [`ends the transaction by ${sql}, and throws`, [async (...args) => { await run(...args); throw new Error('of the host') }, wanted, more]],
      [`ends the transaction by ${sql}, and fails`, [async (...args) => { await run(...args); await args[0].query('SELECT 1/0') }, wanted, more]],
      [`ends the transaction by ${sql}, and does not end`, [async (...args) => { await run(...args); await new Promise(() => undefined) }, [...wanted, 500], { ...more, isBrief: true, mayBeInDoubt: true }]],
      [`does not wait for ${sql}`, [(client, journal) => { void journal(); client.query(sql).catch(() => undefined) }, wanted, more]]
    ]
    return entries
  }))
}

t.test('every beforeCommit: what is answered is what is written', async (t) => {
  freeze(t)
  const open = await openLanes(t)
  await exploreAll(t, Object.entries(hosts).flatMap(([what, [host, wanted, more]]) => [false, true].map((isKeyed) => ({
    name: `beforeCommit ${what}${words({ isKeyed })}`, wanted, host, isHooked: true, isKeyed, ...more
  }))), open, explore)
})

/** A COMMIT whose answer does not come, and what can happen until the rows are asked. */
const losses: Record<string, Fault> = {
  'not arrived': { do: 'cut-before' },
  'done and not answered': { do: 'cut-after' },
  'done, and the server gone': { do: 'refuse-after', fields: error('57P01') },
  'done, and the server crashed': { do: 'refuse-after', fields: error('XX000', { S: 'PANIC' }) },
  'done, and the disk full': { do: 'refuse-after', fields: error('53100', { S: 'PANIC' }) },
  'done, and the pooler gone': { do: 'refuse-after', fields: error('08006') },
  'not confirmed by the replica': { do: 'notice', fields: error('01000', { R: 'SyncRepWaitForLSN' }) },
  'refused as a deadlock': { do: 'refuse', fields: error('40P01') },
  refused: { do: 'refuse', fields: error('23505') },
  'refused by a full disk': { do: 'refuse', fields: error('53100') },
  'answered by ROLLBACK': { do: 'tag-rollback' },
  'not answered': { do: 'hold-after' },
  'not arrived, in silence': { do: 'hold-before' }
}

for (const isPipelined of [true, false]) {
  const how = isPipelined ? '' : ', without pipelining'

  t.test(`every end of COMMIT: what became of it is found out${how}`, async (t) => {
    freeze(t)
    const open = await openLanes(t, isPipelined)
    const scenarios: Scenario[] = []
    for (const mode of modes) {
      for (const at of [/omnichannel_auth_token/, /^BEGIN/, COMMIT]) {
        scenarios.push({ name: `a farewell with the answer to ${String(at)}${words(mode)}`, ...mode, wanted: [200], injections: () => [{ at, fault: { do: 'farewell' } }], calls: 1 })
      }
      for (const [loss, fault] of Object.entries(losses)) {
        const add = (what: string, wanted: number[], injections: (lane: Lane) => Injection[], more: Partial<Scenario> = {}): void => {
          scenarios.push({ name: `COMMIT ${loss}${what}${words(mode)}`, ...mode, wanted, injections, ...more })
        }
        const isDone = /^(done|not confirmed|not answered)/.test(loss)
        const isRefused = /^(refused|refused by a full disk|answered by ROLLBACK)$/.test(loss)
        const isSilent = fault.do.startsWith('hold')
        const wanted = isRefused ? [500] : isSilent ? [isDone ? 200 : 503, 500] : [200]
        const lost: Injection = { at: COMMIT, fault }
        add('', wanted, () => [lost], { mayBeInDoubt: isSilent, ...isRefused && { calls: 1 } })
        // Another commits between the end of COMMIT and the question to the rows; it may wait for the lock until then.
        for (const [what, run] of Object.entries(meanwhile)) {
          if ((what.includes('same key') && !mode.isKeyed) || isSilent) continue
          const status = refusal[what]
          const begin: Injection = { at: /^BEGIN/, after: 1, fault: { do: 'meanwhile-before', run: async () => undefined } }
          const injections = (lane: Lane): Injection[] => [lost, ...isRefused ? [] : [{ ...begin, fault: { do: 'meanwhile-before' as const, run: async () => { await run(lane) } } }]]
          const isKnown = status !== undefined || mode.isKeyed
          const others = what === 'the contact deleted' ? [loss === 'refused as a deadlock' ? 400 : 500] : !isDone && what === 'the same key for another request' ? [200, 422] : isDone && !isKnown ? [500] : [200]
          add(`, then ${what}`, isRefused ? [500] : status !== undefined ? [isDone ? 200 : status] : others, injections,
            { mayBeInDoubt: (what === 'the contact deleted' && fault.do !== 'refuse') || (isDone && !mode.isKeyed) })
        }
      }
    }
    await exploreAll(t, scenarios, open, explore)
  })

  t.test(`every statement of the question to the rows, and every fault: the same${how}`, async (t) => {
    freeze(t)
    const open = await openLanes(t, isPipelined)
    const question = [/^BEGIN/, /client_min_messages/, /^select "update_id", "version"/, COMMIT]
    const scenarios = modes.flatMap((mode) => (['cut-before', 'cut-after'] as const).flatMap((loss) => question.flatMap((at, index) =>
      atEach.map(([what, fault, wanted]): Scenario => ({
        name: `COMMIT ${loss}, and at ${String(at)} of the question ${what}${words(mode)}`, ...mode,
        wanted: !fault.do.startsWith('hold') ? wanted : loss === 'cut-before' ? [200, 503, 500] : [200, 500],
        // What cannot be asked cannot be known.
        mayBeInDoubt: wanted[0] !== 200 || fault.do === 'hold-after',
        injections: () => [{ at: COMMIT, fault: { do: loss } }, { at, after: index === 2 ? 0 : 1, fault }]
      })))))
    await exploreAll(t, scenarios, open, explore)
  })
}

const busy = [503]

t.test('what lasts: an answer by the deadline, and the log says why', async (t) => {
  freeze(t)
  const open = await openLanes(t)
  const always = (at: RegExp, fault: Fault) => () => [{ at, fault, times: Infinity }]
  const timed = (fault: (lane: Lane) => Fault, at: RegExp, more: Injection[] = []) => (lane: Lane) => [{ at, fault: fault(lane) }, ...more]
  const untilTimeout = (lane: Lane): Fault => ({ do: 'meanwhile-before', run: async () => { await pause(1100); await until(() => lane.reply !== undefined, 'a reply') } })
  const scenarios: Array<Omit<Scenario, 'isKeyed' | 'isHooked'>> = [
    { name: 'each COMMIT is lost', wanted: [500, 503], injections: always(COMMIT, { do: 'cut-before' }), mayBeInDoubt: true, calls: 40 },
    { name: 'COMMIT is lost four times', wanted: [200], injections: () => [{ at: COMMIT, fault: { do: 'cut-before' }, times: 4 }], calls: 3 },
    { name: 'the replica confirms the third time', wanted: [200], calls: 1,
      injections: () => [{ at: COMMIT, fault: { do: 'notice', fields: error('01000', { R: 'SyncRepWaitForLSN' }) }, times: 2 }] },
    { name: 'each COMMIT is done and not answered', wanted: [500], injections: always(COMMIT, { do: 'cut-after' }), mayBeInDoubt: true, calls: 1 },
    { name: 'the replica never confirms', wanted: [500], injections: always(COMMIT, { do: 'notice', fields: error('01000', { R: 'SyncRepWaitForLSN' }) }), mayBeInDoubt: true, calls: 1 },
    { name: 'each COMMIT is answered by ROLLBACK', wanted: [500], injections: always(COMMIT, { do: 'tag-rollback' }), calls: 1 },
    { name: 'each write deadlocks', wanted: busy, injections: always(/update "omnichannel_contact"/, { do: 'refuse', fields: error('40P01') }), calls: 40 },
    { name: 'each plan is stale', wanted: busy, injections: always(/^BEGIN/, { do: 'refuse', fields: error('0A000', { R: 'RevalidateCachedQuery' }) }), calls: 0 },
    { name: 'no server', wanted: busy, prepare: endIdle, injections: always(/^connect$/, { do: 'cut-before' }) },
    { name: 'too many clients', wanted: busy, prepare: endIdle, injections: always(/^connect$/, { do: 'refuse', fields: error('53300') }) },
    { name: 'a server that starts', wanted: [200], prepare: endIdle,
      injections: () => [{ at: /^connect$/, fault: { do: 'refuse', fields: error('57P03') }, times: 3 }] },
    { name: 'a row of the host that references the contact', wanted: [200], prepare: reference, isBrief: true },
    { name: 'a trigger that drops the write of the contact', wanted: [500], prepare: swallow },
    { name: 'a column of another type', wanted: [200], prepare: changeType },
    { name: 'a farewell with the first ReadyForQuery', wanted: [200], prepare: endIdle,
      injections: () => [{ at: /^connect$/, fault: { do: 'farewell' } }] },
    { name: 'clients with another encoding', wanted: [200], prepare: leaveBehind("SET client_encoding = 'LATIN1'") },
    { name: 'clients in a transaction', wanted: [200], prepare: leaveBehind('BEGIN') },
    { name: 'clients without their statements', wanted: [200], prepare: leaveBehind('DEALLOCATE ALL') },
    { name: 'handlerTimeout before COMMIT', wanted: busy, handlerTimeout: true, injections: timed(untilTimeout, /for no key update/) },
    { name: 'handlerTimeout during COMMIT', wanted: [200], handlerTimeout: true, injections: timed(untilTimeout, COMMIT) },
    { name: 'handlerTimeout during COMMIT, which is refused', wanted: [200, 503], handlerTimeout: true, injections: (lane) => [
      { at: COMMIT, fault: { do: 'refuse', fields: error('40001') } }, { at: /^RELEASE|insert into "omnichannel_statistic"/, after: lane.isHooked ? 1 : 0, fault: untilTimeout(lane) }] },
    { name: 'handlerTimeout during COMMIT, which is lost', wanted: [200, 503], handlerTimeout: true, injections: (lane) => [
      { at: COMMIT, fault: { do: 'cut-before' } }, { at: /^select "update_id", "version"/, fault: untilTimeout(lane) }] }
  ]
  await exploreAll(t, scenarios.flatMap((scenario) => modes.map((mode) => ({ ...scenario, ...mode, name: `${scenario.name}${words(mode)}` }))), open, explore)
})

/** Gives a column another type, after all its statements are prepared. */
async function changeType (lane: Lane): Promise<undefined> {
  await lane.send(lane.apps.near, lane.isHooked, 'Ours', 'key')
  await lane.reset()
  const { rows: [row] } = await lane.sql('SELECT pg_typeof(name)::text AS type FROM omnichannel_contact LIMIT 1')
  await lane.sql(`ALTER TABLE omnichannel_contact ALTER COLUMN name TYPE ${row?.type as unknown === 'text' ? 'varchar' : 'text'}`)
}

/** Ends the idle clients of the pool. */
async function endIdle ({ pool }: Lane): Promise<undefined> {
  const clients = await Promise.all(Array.from({ length: pool.totalCount }, async () => await pool.connect()))
  for (const client of clients) client.release(true)
  await until(() => pool.totalCount === 0, 'an empty pool')
}

/** Leaves all clients of the pool as SQL has left them. */
function leaveBehind (sql: string): NonNullable<Scenario['prepare']> {
  return async ({ pool }) => {
    const clients = await Promise.all(Array.from({ length: 3 }, async () => await pool.connect()))
    await Promise.all(clients.map(async (client) => await client.query(sql)))
    for (const client of clients) client.release()
    return undefined
  }
}

async function reference ({ direct }: Lane) {
  const client = await direct.connect()
  await client.query("BEGIN; INSERT INTO omnichannel_contact_channel (contact_id, position, name, visitor_id, source_type) VALUES ('maria', 9, '', '', 'api')")
  return async () => {
    await client.query('ROLLBACK')
    client.release()
  }
}

async function swallow ({ sql }: Lane) {
  await sql(`CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
    CREATE TRIGGER swallow BEFORE UPDATE ON omnichannel_contact FOR EACH ROW EXECUTE FUNCTION swallow()`)
  return async () => await sql('DROP FUNCTION swallow CASCADE')
}

async function openLanes (t: Test, isPipelined = true): Promise<Lane[]> {
  const open: Lane[] = []
  while (open.length < lanes) open.push(await openLane(t, isPipelined))
  return open
}
