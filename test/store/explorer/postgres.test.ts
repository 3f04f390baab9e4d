// Explores faults on PostgreSQL: every fault at every statement of an update, and every kind of beforeCommit.

import type pg from 'pg'
import { UpdateRefusedError } from '../../../src/index.js'
import { postgres as t } from '../../helpers/engines.js'
import { describeMode, exploreAll, modes, stopClock, type Mode } from './explore.js'
import {
  error, explore, failedAfter, faultsAtEach, forgetCaller, meanwhile, openLanes, retriedAfter, statusWithoutRights,
  type Callback, type FaultCase, type Lane, type Scenario
} from './postgres.js'
import { isSilent, type Fault } from './proxy.js'

/** With a callback, the server must look up the caller first. Without one, it knows the caller from an earlier update. */
function prepareCaller ({ hasCallback }: Mode): Pick<Scenario, 'prepare'> {
  return hasCallback ? { prepare: forgetCaller } : {}
}

/** The statements of an update without a fault. */
async function statementsOf (lane: Lane, mode: Mode): Promise<string[]> {
  // The first update prepares the statements.
  await explore(lane, { name: '', allowed: [200], ...mode })
  await prepareCaller(mode).prepare?.(lane)
  lane.proxy.plan.begin([])
  await lane.sendOurs(mode)
  return [...lane.proxy.plan.statements]
}

/** Errors of the server after which the update is tried again. */
const transientErrors = [
  error('40P01'), error('25006'), error('57014'), error('53300'), error('55P03'), error('26000'), error('08006'),
  error('0A000', { R: 'RevalidateCachedQuery' }), error('57P01', { S: 'FATAL' }), error('57P02', { S: 'FATAL' }),
  error('23502', { t: 'omnichannel_idempotency_key', c: 'version' })
]
/** Errors of the server after which the update fails. */
const finalErrors = [error('23505'), error('P0001'), error('22P02'), error('0A000'), error('23502', { t: 'journal' }),
  error('23502', { t: 'omnichannel_idempotency_key', c: 'tenant' }), error('42P01'), error('53100')]

/** Faults for one statement of each kind only. There are too many statements for all of them. */
const faultsAtSome: FaultCase[] = [...transientErrors.map(retriedAfter), ...finalErrors.map(failedAfter)]

/** What can happen to the reply meanwhile, and the status that the client then gets. */
const replyEvents: Record<string, [act: (lane: Lane) => unknown, status: number]> = {
  'the client gone': [({ reply }) => reply!.raw.destroy(), 0],
  'the reply hijacked': [({ reply }) => { if (!reply!.sent && reply!.hijack().sent) reply!.raw.writeHead(504).end() }, 504],
  'the handlerTimeout expired': [({ expire }) => { expire() }, 503],
  'an answer of the host': [({ reply }) => { void reply!.code(504).send({}) }, 504]
}

/** A fault that runs `act` before the statement arrives. */
const runBefore = (act: (lane: Lane) => unknown) => (lane: Lane): Fault => ({ do: 'run-before', run: async () => { await act(lane) } })

/** The positions of the statements that decide what may follow a fault. */
function positionsIn (statements: string[], { hasCallback }: Mode) {
  const find = (isWanted: (text: string) => boolean): number => statements.findIndex(isWanted)
  const lockOfContact = find((text) => text.includes('from "omnichannel_contact"') && text.includes('for no key update'))
  return {
    begin: find((text) => text.startsWith('BEGIN')),
    lockOfContact,
    readOfRights: lockOfContact + statements.slice(lockOfContact).findIndex((text) => text.includes('omnichannel_auth_token')),
    /** From here on only the update may answer. */
    lockOfReply: find((text) => hasCallback ? text.startsWith('RELEASE') : text.includes('update "omnichannel_contact"'))
  }
}

/** The scenarios of each statement of an update, given the statements of one without a fault. */
function scenariosAtEach (statements: string[], mode: Mode): Scenario[] {
  const { begin, lockOfContact, readOfRights, lockOfReply } = positionsIn(statements, mode)
  return [...statements.entries()].flatMap(([index, text]) => {
    // The reads are the same in both modes.
    if (!mode.hasCallback && index <= readOfRights) return []
    const scenario = (what: string, fault: (lane: Lane) => Fault, allowed: number[], limits: Partial<Scenario> = {}): Scenario => ({
      name: `${index} ${text.replace(/\s+/g, ' ').slice(0, 40)}: ${what}${describeMode(mode)}`, ...mode, ...prepareCaller(mode), allowed,
      injections: (lane) => [{ at: /^/, skip: index, fault: fault(lane) }], ...limits
    })
    const isOfHost = text.startsWith('INSERT INTO journal')
    const hasAllFaults = isOfHost || text === 'COMMIT' || index === begin || index === lockOfContact || text.includes('update "omnichannel_contact"') ||
      text.includes('insert into "omnichannel_idempotency_key"')
    const faults = hasAllFaults ? [...faultsAtEach, ...faultsAtSome] : faultsAtEach

    const statusesAfter = (event: string): number[] => {
      const refused = statusWithoutRights[event]
      if (refused !== undefined && index <= lockOfContact) return [refused]
      if (refused !== undefined && index <= readOfRights) return [refused, 200]
      if (event === 'the contact deleted') return [200, 400]
      return event === 'the same key for another request' ? [200, 422] : [200]
    }

    return [
      // Without an answer to its own statement, the host's callback does not end.
      ...faults.map(([what, fault, allowed]) =>
        scenario(what, () => fault, isOfHost && isSilent(fault) ? [500] : allowed, { mayBeInDoubt: isSilent(fault) })),
      ...Object.entries(meanwhile).filter(([event]) => mode.hasKey || !event.includes('same key')).map(([event, act]) =>
        scenario(`meanwhile ${event}`, runBefore(act), statusesAfter(event))),
      ...Object.entries(replyEvents).map(([event, [act, status]]) => scenario(`meanwhile ${event}`, runBefore(act),
        index < lockOfReply || status === 0 ? [status] : [200], { mayCommitWithoutClient: index >= lockOfReply }))
    ]
  })
}

t.test('every fault at every statement: the update is made once or not at all, and the answer says which', async (t) => {
  stopClock(t)
  const lanes = await openLanes()
  const scenarios: Scenario[] = []
  for (const mode of modes) {
    const statements = await statementsOf(lanes[0]!, mode)
    const { begin, lockOfContact, readOfRights } = positionsIn(statements, mode)
    t.equal(begin > 0, mode.hasCallback)
    t.ok(lockOfContact > begin && readOfRights > lockOfContact, 'the contact is locked before the rights are read')
    t.match(statements.at(-1), 'COMMIT')
    scenarios.push(...scenariosAtEach(statements, mode))
  }
  await exploreAll(t, scenarios, lanes, explore)
})

const throwError = (): never => { throw new Error('of the host') }
const neverEnd = async (): Promise<void> => { await new Promise(() => undefined) }
/** The limits for callbacks that last until the deadline. */
const untilDeadline = { maxCalls: 1, hasShortLockTimeout: true, mayBeInDoubt: true }

/** What a `beforeCommit` can do, and the statuses that may follow. */
const callbacks: Record<string, [callback: Callback, allowed: number[], limits?: Partial<Scenario>]> = {
  throws: [async (_client, journal) => { await journal(); throwError() }, [500], { maxCalls: 1 }],
  'throws at once': [throwError, [500], { maxCalls: 1 }],
  'throws null': [() => { throw null }, [500], { maxCalls: 1 }],
  'throws a status': [() => { throw Object.assign(new Error('of the host'), { statusCode: 404, code: 'FST_ERR_NOT_FOUND' }) }, [500], { maxCalls: 1 }],
  refuses: [async (_client, journal) => { await journal(); throw new UpdateRefusedError('no') }, [400], { maxCalls: 1 }],
  'refuses after a failed statement': [async (client) => {
    await client.query('SELECT 1/0').catch(() => { throw new UpdateRefusedError('no') })
  }, [400], { maxCalls: 1 }],
  'cannot reach another server': [() => { throw Object.assign(new Error('of the host'), { code: 'ECONNREFUSED' }) }, [500], { maxCalls: 1 }],
  'throws the SQLSTATE of another database': [() => { throw Object.assign(new Error('of the host'), { code: '40001' }) }, [500], { maxCalls: 1 }],
  'lets a statement fail': [async (client) => { await client.query('SELECT 1/0').catch(() => undefined) }, [500], { maxCalls: 1 }],
  'does not wait for a statement that fails': [(client) => { client.query('SELECT 1/0').catch(() => undefined) }, [500], { maxCalls: 1 }],
  'does not wait for its statement': [(_client, journal) => { void journal() }, [200]],
  'never ends': [async (_client, journal) => { await journal(); await neverEnd() }, [500], untilDeadline],
  'waits for a statement that does not end': [async (client) => { await client.query('SELECT pg_sleep(5)') }, [500], untilDeadline],
  'releases its client': [(client) => { client.release() }, [500], { maxCalls: 1 }],
  'releases its client after a statement that it does not wait for': [(client, journal) => {
    void journal().finally(() => { client.release() })
  }, [200], { maxCalls: 1 }],
  'ends its client after a statement that it does not wait for': [(client, journal) => {
    void journal().finally(() => { void (client as unknown as pg.Client).end() })
  }, [200], { maxCalls: 1 }],
  'destroys its client': [(client) => { client.release(true) }, [500], { maxCalls: 1 }],
  'releases the savepoint': [async (client) => { await client.query('RELEASE SAVEPOINT omnichannel_update') }, [500], { maxCalls: 1 }],
  'rolls back to the savepoint': [async (client, journal) => { await client.query('ROLLBACK TO SAVEPOINT omnichannel_update'); await journal() }, [200]],
  'changes the encoding': [async (client, journal) => { await journal(); await client.query("SET client_encoding = 'LATIN1'") }, [200]],
  'changes the role for good': [async (client, journal) => { await journal(); await client.query('SET ROLE pg_read_all_data') }, [200]],
  'changes the search path for good': [async (client, journal) => { await journal(); await client.query('SET search_path = pg_catalog') }, [200]],
  'makes its session read-only': [async (client, journal) => { await journal(); await client.query('SET default_transaction_read_only = on') }, [200]],
  'changes the search path': [async (client, journal) => { await journal(); await client.query('SET LOCAL search_path = pg_catalog') }, [200]],
  ...Object.fromEntries(['COMMIT', 'COMMIT; BEGIN', 'COMMIT AND CHAIN', 'ROLLBACK', 'ROLLBACK; BEGIN', 'ROLLBACK AND CHAIN'].flatMap(endings))
}

/** The callbacks that end the transaction by an SQL command. */
function endings (sql: string): Array<[string, (typeof callbacks)[string]]> {
  const allowed = sql.startsWith('COMMIT') ? [200] : [500]
  const end: Callback = async (client, journal) => { await journal(); await client.query(sql) }
  const once = { maxCalls: 1 }
  return [
    [`ends the transaction by ${sql}`, [end, allowed, once]],
    [`ends the transaction by ${sql}, and throws`, [async (...args) => { await end(...args); throwError() }, allowed, once]],
    [`ends the transaction by ${sql}, and fails`, [async (client, journal) => { await end(client, journal); await client.query('SELECT 1/0') }, allowed, once]],
    [`ends the transaction by ${sql}, and does not end`, [async (...args) => { await end(...args); await neverEnd() }, [...allowed, 500], untilDeadline]],
    [`does not wait for ${sql}`, [(client, journal) => { void journal(); client.query(sql).catch(() => undefined) }, allowed, once]]
  ]
}

t.test('every kind of beforeCommit: the answer fits the rows', async (t) => {
  stopClock(t)
  const scenarios = Object.entries(callbacks).flatMap(([what, [callback, allowed, limits]]) => [false, true].map((hasKey): Scenario => ({
    name: `beforeCommit ${what}${describeMode({ hasKey })}`, allowed, callback, hasCallback: true, hasKey, ...limits
  })))
  await exploreAll(t, scenarios, await openLanes(), explore)
})
