// Explores faults on PostgreSQL: every fault at every statement of an update, and every kind of beforeCommit.

import type pg from 'pg'
import { UpdateRefusedError } from '../../../src/index.js'
import { postgres as t } from '../../helpers/engines.js'
import { exploreAll, freeze, describeMode, modes } from './explore.js'
import { faultsAtEach, error, explore, failedAfter, meanwhile, openLanes, refusal, retriedAfter, type FaultCase, type Callback, type Lane, type Scenario } from './postgres.js'
import type { Fault } from './proxy.js'

/** The statements of an update without a fault. */
async function stepsOf (lane: Lane, isHooked: boolean, isKeyed: boolean): Promise<string[]> {
  await explore(lane, { name: '', allowed: [200], isHooked, isKeyed })
  await lane.reset()
  lane.proxy.plan.begin([])
  await lane.send(lane.apps.near, isHooked, 'Ours', isKeyed ? 'key' : undefined)
  return [...lane.proxy.plan.passed]
}

const isLock = (text: string): boolean => text.includes('from "omnichannel_contact"') && text.includes('for no key update')

/** SQLSTATEs after which the update is tried again, and others. */
const transient = [
  error('40P01'), error('25006'), error('57014'), error('53300'), error('55P03'), error('26000'), error('08006'),
  error('0A000', { R: 'RevalidateCachedQuery' }), error('57P01', { S: 'FATAL' }), error('57P02', { S: 'FATAL' }),
  error('23502', { t: 'omnichannel_idempotency_key', c: 'version' })
]
const final = [error('23505'), error('P0001'), error('22P02'), error('0A000'), error('23502', { t: 'journal' }),
  error('23502', { t: 'omnichannel_idempotency_key', c: 'tenant' }), error('42P01'), error('53100')]

/** Faults for one statement of each kind only. There are too many statements for all of them. */
const selectedFaults: FaultCase[] = [...transient.map(retriedAfter), ...final.map(failedAfter)]

/** What can happen to the reply meanwhile. */
const replies: Record<string, [act: (lane: Lane) => unknown, status: number]> = {
  'the client gone': [({ reply }) => reply!.raw.destroy(), 0],
  'the reply hijacked': [({ reply }) => { if (!reply!.sent && reply!.hijack().sent) reply!.raw.writeHead(504).end() }, 504],
  'the handlerTimeout expired': [({ expire }) => { expire() }, 503],
  'an answer of the host': [({ reply }) => { void reply!.code(504).send({}) }, 504]
}

t.test('every fault at every statement: the update is made once or not at all, and the answer says which', async (t) => {
  freeze(t)
  const open = await openLanes()
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
      const add = (what: string, fault: (lane: Lane) => Fault, allowed: number[], more: Partial<Scenario> = {}): void => {
        scenarios.push({
          name: `${index} ${short(text)}: ${what}${describeMode(mode)}`, ...mode, allowed, injections: (lane) => [{ at: /^/, after: index, fault: fault(lane) }], ...more
        })
      }
      const isOfHost = text.startsWith('INSERT INTO journal')
      const isCommit = text === 'COMMIT'
      const isFirstOfItsKind = isOfHost || isCommit || index === begin || index === lock || text.includes('update "omnichannel_contact"') ||
        text.includes('insert into "omnichannel_idempotency_key"')
      for (const [what, fault, allowed] of isFirstOfItsKind ? [...faultsAtEach, ...selectedFaults] : faultsAtEach) {
        // Without an answer to its own statement, the host's callback does not end.
        add(what, () => fault, isOfHost && fault.do.startsWith('hold') ? [500] : allowed, { mayBeInDoubt: fault.do.startsWith('hold') })
      }
      for (const [what, run] of Object.entries(meanwhile)) {
        if (what.includes('same key') && !mode.isKeyed) continue
        const refused = refusal[what]
        let allowed = [200]
        if (refused !== undefined && index <= recheck) allowed = index <= lock ? [refused] : [refused, 200]
        else if (what === 'the contact deleted') allowed = [200, 400]
        else if (what === 'the same key for another request') allowed = [200, 422]
        add(`meanwhile ${what}`, (lane) => ({ do: 'meanwhile-before', run: async () => { await run(lane) } }), allowed)
      }
      for (const [what, [act, status]] of Object.entries(replies)) {
        add(`meanwhile ${what}`, (lane) => ({ do: 'meanwhile-before', run: async () => { act(lane) } }), index < locked || status === 0 ? [status] : [200], { mayBeDone: index >= locked })
      }
    }
  }
  await exploreAll(t, scenarios, open, explore)
})

/** What a `beforeCommit` can do, and the statuses that may follow. */
const callbacks: Record<string, [callback: Callback, allowed: number[], more?: Partial<Scenario>]> = {
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
  'never ends': [async (_client, journal) => { await journal(); await new Promise(() => undefined) }, [500], { calls: 1, hasShortLockTimeout: true, mayBeInDoubt: true }],
  'waits for a statement that does not end': [async (client) => { await client.query('SELECT pg_sleep(5)') }, [500], { calls: 1, hasShortLockTimeout: true, mayBeInDoubt: true }],
  'releases its client': [(client) => { client.release() }, [500], { calls: 1 }],
  'releases its client after a statement that it does not wait for': [(client, journal) => { void journal().finally(() => { client.release() }) }, [200], { calls: 1 }],
  'ends its client after a statement that it does not wait for': [(client, journal) => { void journal().finally(() => { void (client as unknown as pg.Client).end() }) }, [200], { calls: 1 }],
  'destroys its client': [(client) => { client.release(true) }, [500], { calls: 1 }],
  'releases the savepoint': [async (client) => { await client.query('RELEASE SAVEPOINT omnichannel_update') }, [500], { calls: 1 }],
  'rolls back to the savepoint': [async (client, journal) => { await client.query('ROLLBACK TO SAVEPOINT omnichannel_update'); await journal() }, [200]],
  'changes the encoding': [async (client, journal) => { await journal(); await client.query("SET client_encoding = 'LATIN1'") }, [200]],
  'changes the role for good': [async (client, journal) => { await journal(); await client.query('SET ROLE pg_read_all_data') }, [200]],
  'changes the search path for good': [async (client, journal) => { await journal(); await client.query('SET search_path = pg_catalog') }, [200]],
  'makes its session read-only': [async (client, journal) => { await journal(); await client.query('SET default_transaction_read_only = on') }, [200]],
  'changes the search path': [async (client, journal) => { await journal(); await client.query('SET LOCAL search_path = pg_catalog') }, [200]],
  ...Object.fromEntries(['COMMIT', 'COMMIT; BEGIN', 'COMMIT AND CHAIN', 'ROLLBACK', 'ROLLBACK; BEGIN', 'ROLLBACK AND CHAIN'].flatMap((sql) => {
    const allowed = sql.startsWith('COMMIT') ? [200] : [500]
    const run: Callback = async (client, journal) => { await journal(); await client.query(sql) }
    const more: Partial<Scenario> = { calls: 1 }
    const entries: Array<[string, [Callback, number[], Partial<Scenario>]]> = [
      [`ends the transaction by ${sql}`, [run, allowed, more]],
      [`ends the transaction by ${sql}, and throws`, [async (...args) => { await run(...args); throw new Error('of the host') }, allowed, more]],
      [`ends the transaction by ${sql}, and fails`, [async (...args) => { await run(...args); await args[0].query('SELECT 1/0') }, allowed, more]],
      [`ends the transaction by ${sql}, and does not end`, [async (...args) => { await run(...args); await new Promise(() => undefined) }, [...allowed, 500], { ...more, hasShortLockTimeout: true, mayBeInDoubt: true }]],
      [`does not wait for ${sql}`, [(client, journal) => { void journal(); client.query(sql).catch(() => undefined) }, allowed, more]]
    ]
    return entries
  }))
}

t.test('every kind of beforeCommit: the answer fits the rows', async (t) => {
  freeze(t)
  const open = await openLanes()
  await exploreAll(t, Object.entries(callbacks).flatMap(([what, [callback, allowed, more]]) => [false, true].map((isKeyed) => ({
    name: `beforeCommit ${what}${describeMode({ isKeyed })}`, allowed, callback, isHooked: true, isKeyed, ...more
  }))), open, explore)
})
