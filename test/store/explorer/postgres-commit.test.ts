// Explores faults on PostgreSQL: every outcome of COMMIT, the look-up of that outcome, and permanent faults.

import { postgres as t } from '../../helpers/engines.js'
import { until } from '../../helpers/waiting.js'
import { describeMode, exploreAll, modes, stopClock, withTimeout, type Mode } from './explore.js'
import { COMMIT, error, explore, faultsAtEach, meanwhile, openLanes, statusWithoutRights, type FaultCase, type Lane, type Scenario } from './postgres.js'
import { isSilent, type Fault, type Injection } from './proxy.js'

interface CommitOutcome {
  /** Ends a sentence that begins with COMMIT. */
  what: string
  fault: Fault
  /** `refused` is final. Otherwise the update is tried again if it was not committed. */
  isCommitted: boolean | 'refused'
}

/** What can happen to a COMMIT. */
const commitOutcomes: CommitOutcome[] = [
  { what: 'not arrived', fault: { do: 'cut-before' }, isCommitted: false },
  { what: 'done and not answered', fault: { do: 'cut-after' }, isCommitted: true },
  { what: 'done, and the server is gone', fault: { do: 'refuse-after', fields: error('57P01') }, isCommitted: true },
  { what: 'done, and the server has crashed', fault: { do: 'refuse-after', fields: error('XX000', { S: 'PANIC' }) }, isCommitted: true },
  { what: 'done, and the disk is full', fault: { do: 'refuse-after', fields: error('53100', { S: 'PANIC' }) }, isCommitted: true },
  { what: 'done, and the pooler is gone', fault: { do: 'refuse-after', fields: error('08006') }, isCommitted: true },
  { what: 'not confirmed by the replica', fault: { do: 'notice', fields: error('01000', { R: 'SyncRepWaitForLSN' }) }, isCommitted: true },
  { what: 'refused as a deadlock', fault: { do: 'refuse', fields: error('40P01') }, isCommitted: false },
  { what: 'refused', fault: { do: 'refuse', fields: error('23505') }, isCommitted: 'refused' },
  { what: 'refused by a full disk', fault: { do: 'refuse', fields: error('53100') }, isCommitted: 'refused' },
  { what: 'answered by ROLLBACK', fault: { do: 'answer-rollback' }, isCommitted: 'refused' },
  { what: 'not answered', fault: { do: 'hold-after' }, isCommitted: true },
  { what: 'not arrived, in silence', fault: { do: 'hold-before' }, isCommitted: false }
]

/** Each outcome of COMMIT, alone and with each thing that another client can do before the look-up. */
function commitScenarios (mode: Mode): Scenario[] {
  return commitOutcomes.flatMap((outcome) => {
    const { what, fault, isCommitted } = outcome
    const name = `COMMIT ${what}`
    const silentStatus = isCommitted === true ? 200 : 503
    const alone: Scenario = {
      name: `${name}${describeMode(mode)}`, ...mode,
      allowed: isCommitted === 'refused' ? [500] : isSilent(fault) ? [silentStatus, 500] : [200],
      injections: () => [{ at: COMMIT, fault }],
      mayBeInDoubt: isSilent(fault), ...isCommitted === 'refused' && { maxCalls: 1 }
    }
    if (isSilent(fault)) return [alone]
    const events = Object.keys(meanwhile).filter((event) => mode.hasKey || !event.includes('same key'))
    return [alone, ...events.map((event): Scenario => ({
      name: `${name}, then ${event}${describeMode(mode)}`, ...mode,
      allowed: allowedAfter(outcome, event, mode),
      injections: (lane) => {
        if (isCommitted === 'refused') return [{ at: COMMIT, fault }]
        // The look-up is the second transaction. The other client may wait for the lock until then.
        const beforeLookUp: Injection = { at: /^BEGIN/, skip: 1, fault: { do: 'run-before', run: async () => { await meanwhile[event]!(lane) } } }
        return [{ at: COMMIT, fault }, beforeLookUp]
      },
      mayBeInDoubt: (event === 'the contact deleted' && fault.do !== 'refuse') || (isCommitted === true && !mode.hasKey)
    }))]
  })
}

/** The statuses that may follow an outcome of COMMIT, if another client has done something before the look-up. */
function allowedAfter ({ what, isCommitted }: CommitOutcome, event: string, { hasKey }: Mode): number[] {
  if (isCommitted === 'refused') return [500]
  const withoutRights = statusWithoutRights[event]
  if (withoutRights !== undefined) return [isCommitted ? 200 : withoutRights]
  if (event === 'the contact deleted') return [what === 'refused as a deadlock' ? 400 : 500]
  if (event === 'the same key for another request' && !isCommitted) return [200, 422]
  return isCommitted && !hasKey ? [500] : [200]
}

/** The server shuts down with the answer to a statement. */
function shutdownScenarios (mode: Mode): Scenario[] {
  return [/omnichannel_auth_token/, /^BEGIN/, COMMIT].map((at) => ({
    name: `a shutdown with the answer to ${String(at)}${describeMode(mode)}`, ...mode,
    allowed: [200], injections: () => [{ at, fault: { do: 'shutdown' } }], maxCalls: 1
  }))
}

/** The statements of the look-up. `skip` passes the statement of the update that has the same text. */
const lookUpStatements = [
  { at: /^BEGIN/, skip: 1 }, { at: /lock_timeout/, skip: 1 }, { at: /^select "update_id", "version"/, skip: 0 }, { at: COMMIT, skip: 1 }
]

/** COMMIT or its answer is lost, and then a fault happens at a statement of the look-up. */
function lookUpScenarios (mode: Mode, loss: 'cut-before' | 'cut-after', [what, fault, allowed]: FaultCase): Scenario[] {
  return lookUpStatements.map(({ at, skip }) => ({
    name: `COMMIT ${loss}, and at ${String(at)} of the look-up ${what}${describeMode(mode)}`, ...mode,
    allowed: !isSilent(fault) ? allowed : loss === 'cut-before' ? [200, 503, 500] : [200, 500],
    // The update is in doubt if the look-up cannot read the rows.
    mayBeInDoubt: allowed[0] !== 200 || fault.do === 'hold-after',
    injections: () => [{ at: COMMIT, fault: { do: loss } }, { at, skip, fault }]
  }))
}

for (const isPipelined of [true, false]) {
  const how = isPipelined ? '' : ', without pipelining'

  t.test(`every outcome of COMMIT: the plugin finds out whether it committed, and answers accordingly${how}`, async (t) => {
    stopClock(t)
    const scenarios = modes.flatMap((mode) => [...shutdownScenarios(mode), ...commitScenarios(mode)])
    await exploreAll(t, scenarios, await openLanes(isPipelined), explore)
  })

  t.test(`every fault at every statement of the look-up: the outcome is found out, or in doubt${how}`, async (t) => {
    stopClock(t)
    const scenarios = modes.flatMap((mode) => (['cut-before', 'cut-after'] as const).flatMap((loss) =>
      faultsAtEach.flatMap((faultCase) => lookUpScenarios(mode, loss, faultCase))))
    await exploreAll(t, scenarios, await openLanes(isPipelined), explore)
  })
}

const busy = [503]
const unconfirmed: Fault = { do: 'notice', fields: error('01000', { R: 'SyncRepWaitForLSN' }) }
const refuse = (...values: Parameters<typeof error>): Fault => ({ do: 'refuse', fields: error(...values) })
const times = (count: number, at: RegExp, fault: Fault) => (): Injection[] => [{ at, fault, times: count }]
const always = (at: RegExp, fault: Fault) => times(Infinity, at, fault)
const expire = (lane: Lane): Fault => ({ do: 'run-before', run: async () => { lane.expire() } })

const lastingFaults: Array<Omit<Scenario, keyof Mode>> = [
  { name: 'each COMMIT is lost', allowed: [500, 503], injections: always(COMMIT, { do: 'cut-before' }), mayBeInDoubt: true, maxCalls: 40 },
  { name: 'COMMIT is lost four times', allowed: [200], injections: times(4, COMMIT, { do: 'cut-before' }), maxCalls: 3 },
  { name: 'the replica confirms the third time', allowed: [200], injections: times(2, COMMIT, unconfirmed), maxCalls: 1 },
  { name: 'each COMMIT is done and not answered', allowed: [500], injections: always(COMMIT, { do: 'cut-after' }), mayBeInDoubt: true, maxCalls: 1 },
  { name: 'the replica never confirms', allowed: [500], injections: always(COMMIT, unconfirmed), mayBeInDoubt: true, maxCalls: 1 },
  { name: 'each COMMIT is answered by ROLLBACK', allowed: [500], injections: always(COMMIT, { do: 'answer-rollback' }), maxCalls: 1 },
  { name: 'each write deadlocks', allowed: busy, injections: always(/update "omnichannel_contact"/, refuse('40P01')), maxCalls: 40 },
  { name: 'each plan is stale', allowed: busy, injections: always(/^BEGIN/, refuse('0A000', { R: 'RevalidateCachedQuery' })), maxCalls: 0 },
  { name: 'no server', allowed: busy, prepare: endIdleClients, injections: always(/^connect$/, { do: 'cut-before' }) },
  { name: 'too many clients', allowed: busy, prepare: endIdleClients, injections: always(/^connect$/, refuse('53300')) },
  { name: 'a server that is starting', allowed: [200], prepare: endIdleClients, injections: times(3, /^connect$/, refuse('57P03')) },
  { name: 'a row of the host that references the contact', allowed: [200], prepare: referenceContact, hasShortLockTimeout: true },
  { name: 'a trigger that drops the write of the contact', allowed: [500], prepare: dropContactWrites },
  { name: 'a column of another type', allowed: [200], prepare: changeColumnType },
  { name: 'a shutdown with the first ReadyForQuery', allowed: [200], prepare: endIdleClients, injections: times(1, /^connect$/, { do: 'shutdown' }) },
  { name: 'clients with another encoding', allowed: [200], prepare: runOnAllClients("SET client_encoding = 'LATIN1'") },
  { name: 'clients in a transaction', allowed: [200], prepare: runOnAllClients('BEGIN') },
  { name: 'clients without their prepared statements', allowed: [200], prepare: runOnAllClients('DEALLOCATE ALL') },
  {
    name: 'handlerTimeout during COMMIT, which is refused', allowed: [200, 503],
    injections: (lane) => [
      { at: COMMIT, fault: refuse('40001') },
      // Right before COMMIT.
      { at: lane.hasCallback ? /^RELEASE/ : /insert into "omnichannel_statistic"/, fault: expire(lane) }
    ]
  },
  {
    name: 'handlerTimeout during COMMIT, which is lost', allowed: [200, 503],
    injections: (lane) => [{ at: COMMIT, fault: { do: 'cut-before' } }, { at: /^select "update_id", "version"/, fault: expire(lane) }]
  }
]

t.test('faults that last: an answer by the deadline, and the log has the reason', async (t) => {
  stopClock(t)
  const scenarios = lastingFaults.flatMap((scenario) => modes.map((mode) => ({ ...scenario, ...mode, name: `${scenario.name}${describeMode(mode)}` })))
  await exploreAll(t, scenarios, await openLanes(), explore)
})

/** Gives a column another type, after all its statements are prepared. */
async function changeColumnType (lane: Lane): Promise<undefined> {
  await lane.sendOurs({ hasCallback: lane.hasCallback, hasKey: true })
  await lane.reset()
  const { rows: [row] } = await lane.sql('SELECT pg_typeof(name)::text AS type FROM omnichannel_contact LIMIT 1')
  await lane.sql(`ALTER TABLE omnichannel_contact ALTER COLUMN name TYPE ${row?.type as unknown === 'text' ? 'varchar' : 'text'}`)
}

/** Ends the idle clients of the pool. */
async function endIdleClients ({ pool }: Lane): Promise<undefined> {
  const clients = await Promise.all(Array.from({ length: pool.totalCount }, async () => await pool.connect()))
  for (const client of clients) client.release(true)
  await withTimeout(until(() => pool.totalCount === 0), 'the last client')
}

/** Runs SQL on all clients of the pool, and returns them to it as they are then. */
function runOnAllClients (sql: string): NonNullable<Scenario['prepare']> {
  return async ({ pool }) => {
    const clients = await Promise.all(Array.from({ length: 3 }, async () => await pool.connect()))
    await Promise.all(clients.map(async (client) => await client.query(sql)))
    for (const client of clients) client.release()
    return undefined
  }
}

/** Inserts a row that references the contact, in a transaction that stays open. */
async function referenceContact ({ directPool }: Lane) {
  const client = await directPool.connect()
  await client.query("BEGIN; INSERT INTO omnichannel_contact_channel (contact_id, position, name, visitor_id, source_type) VALUES ('maria', 9, '', '', 'api')")
  return async () => {
    await client.query('ROLLBACK')
    client.release()
  }
}

/** Adds a trigger that drops each write of a contact without an error. */
async function dropContactWrites ({ sql }: Lane) {
  await sql(`CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
    CREATE TRIGGER swallow BEFORE UPDATE ON omnichannel_contact FOR EACH ROW EXECUTE FUNCTION swallow()`)
  return async () => await sql('DROP FUNCTION swallow CASCADE')
}
