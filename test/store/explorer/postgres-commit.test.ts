// Explores faults on PostgreSQL: every outcome of COMMIT, the look-up of that outcome, and permanent faults.

import { postgres as t } from '../../helpers/engines.js'
import { until } from '../../helpers/waiting.js'
import { exploreAll, freeze, describeMode, modes, within } from './explore.js'
import { faultsAtEach, COMMIT, error, explore, meanwhile, openLanes, refusal, type Lane, type Scenario } from './postgres.js'
import type { Fault, Injection } from './proxy.js'

/** What can happen to a COMMIT. */
const commitFaults: Record<string, Fault> = {
  'not arrived': { do: 'cut-before' },
  'done and not answered': { do: 'cut-after' },
  'done, and the server is gone': { do: 'refuse-after', fields: error('57P01') },
  'done, and the server has crashed': { do: 'refuse-after', fields: error('XX000', { S: 'PANIC' }) },
  'done, and the disk is full': { do: 'refuse-after', fields: error('53100', { S: 'PANIC' }) },
  'done, and the pooler is gone': { do: 'refuse-after', fields: error('08006') },
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

  t.test(`every outcome of COMMIT: the plugin finds out whether it committed, and answers accordingly${how}`, async (t) => {
    freeze(t)
    const open = await openLanes(isPipelined)
    const scenarios: Scenario[] = []
    for (const mode of modes) {
      for (const at of [/omnichannel_auth_token/, /^BEGIN/, COMMIT]) {
        scenarios.push({ name: `a shutdown with the answer to ${String(at)}${describeMode(mode)}`, ...mode, allowed: [200], injections: () => [{ at, fault: { do: 'shutdown' } }], calls: 1 })
      }
      for (const [outcome, fault] of Object.entries(commitFaults)) {
        const add = (what: string, allowed: number[], injections: (lane: Lane) => Injection[], more: Partial<Scenario> = {}): void => {
          scenarios.push({ name: `COMMIT ${outcome}${what}${describeMode(mode)}`, ...mode, allowed, injections, ...more })
        }
        const isDone = /^(done|not confirmed|not answered)/.test(outcome)
        const isRefused = /^(refused|refused by a full disk|answered by ROLLBACK)$/.test(outcome)
        const isSilent = fault.do.startsWith('hold')
        const allowed = isRefused ? [500] : isSilent ? [isDone ? 200 : 503, 500] : [200]
        const atCommit: Injection = { at: COMMIT, fault }
        add('', allowed, () => [atCommit], { mayBeInDoubt: isSilent, ...isRefused && { calls: 1 } })
        // Another client does something between COMMIT and the look-up. It may wait for the lock until then.
        for (const [what, run] of Object.entries(meanwhile)) {
          if ((what.includes('same key') && !mode.isKeyed) || isSilent) continue
          const status = refusal[what]
          const injectMeanwhile = (lane: Lane): Injection => ({ at: /^BEGIN/, after: 1, fault: { do: 'meanwhile-before', run: async () => { await run(lane) } } })
          const allowedAfter = (): number[] => {
            if (isRefused) return [500]
            if (status !== undefined) return [isDone ? 200 : status]
            if (what === 'the contact deleted') return [outcome === 'refused as a deadlock' ? 400 : 500]
            if (!isDone && what === 'the same key for another request') return [200, 422]
            return isDone && !mode.isKeyed ? [500] : [200]
          }
          add(`, then ${what}`, allowedAfter(), (lane) => isRefused ? [atCommit] : [atCommit, injectMeanwhile(lane)],
            { mayBeInDoubt: (what === 'the contact deleted' && fault.do !== 'refuse') || (isDone && !mode.isKeyed) })
        }
      }
    }
    await exploreAll(t, scenarios, open, explore)
  })

  t.test(`every fault at every statement of the look-up: the outcome is found out, or in doubt${how}`, async (t) => {
    freeze(t)
    const open = await openLanes(isPipelined)
    const lookUp = [/^BEGIN/, /lock_timeout/, /^select "update_id", "version"/, COMMIT]
    const scenarios = modes.flatMap((mode) => (['cut-before', 'cut-after'] as const).flatMap((loss) => lookUp.flatMap((at, index) =>
      faultsAtEach.map(([what, fault, allowed]): Scenario => ({
        name: `COMMIT ${loss}, and at ${String(at)} of the look-up ${what}${describeMode(mode)}`, ...mode,
        allowed: !fault.do.startsWith('hold') ? allowed : loss === 'cut-before' ? [200, 503, 500] : [200, 500],
        // The update is in doubt if the look-up cannot read the rows.
        mayBeInDoubt: allowed[0] !== 200 || fault.do === 'hold-after',
        injections: () => [{ at: COMMIT, fault: { do: loss } }, { at, after: index === 2 ? 0 : 1, fault }]
      })))))
    await exploreAll(t, scenarios, open, explore)
  })
}

const busy = [503]

t.test('permanent faults: an answer by the deadline, and the log has the reason', async (t) => {
  freeze(t)
  const open = await openLanes()
  const always = (at: RegExp, fault: Fault) => () => [{ at, fault, times: Infinity }]
  const expire = (lane: Lane): Fault => ({ do: 'meanwhile-before', run: async () => { lane.expire() } })
  const scenarios: Array<Omit<Scenario, 'isKeyed' | 'isHooked'>> = [
    { name: 'each COMMIT is lost', allowed: [500, 503], injections: always(COMMIT, { do: 'cut-before' }), mayBeInDoubt: true, calls: 40 },
    { name: 'COMMIT is lost four times', allowed: [200], injections: () => [{ at: COMMIT, fault: { do: 'cut-before' }, times: 4 }], calls: 3 },
    { name: 'the replica confirms the third time', allowed: [200], calls: 1,
      injections: () => [{ at: COMMIT, fault: { do: 'notice', fields: error('01000', { R: 'SyncRepWaitForLSN' }) }, times: 2 }] },
    { name: 'each COMMIT is done and not answered', allowed: [500], injections: always(COMMIT, { do: 'cut-after' }), mayBeInDoubt: true, calls: 1 },
    { name: 'the replica never confirms', allowed: [500], injections: always(COMMIT, { do: 'notice', fields: error('01000', { R: 'SyncRepWaitForLSN' }) }), mayBeInDoubt: true, calls: 1 },
    { name: 'each COMMIT is answered by ROLLBACK', allowed: [500], injections: always(COMMIT, { do: 'tag-rollback' }), calls: 1 },
    { name: 'each write deadlocks', allowed: busy, injections: always(/update "omnichannel_contact"/, { do: 'refuse', fields: error('40P01') }), calls: 40 },
    { name: 'each plan is stale', allowed: busy, injections: always(/^BEGIN/, { do: 'refuse', fields: error('0A000', { R: 'RevalidateCachedQuery' }) }), calls: 0 },
    { name: 'no server', allowed: busy, prepare: endIdle, injections: always(/^connect$/, { do: 'cut-before' }) },
    { name: 'too many clients', allowed: busy, prepare: endIdle, injections: always(/^connect$/, { do: 'refuse', fields: error('53300') }) },
    { name: 'a server that is starting', allowed: [200], prepare: endIdle,
      injections: () => [{ at: /^connect$/, fault: { do: 'refuse', fields: error('57P03') }, times: 3 }] },
    { name: 'a row of the host that references the contact', allowed: [200], prepare: referenceContact, hasShortLockTimeout: true },
    { name: 'a trigger that drops the write of the contact', allowed: [500], prepare: dropContactWrites },
    { name: 'a column of another type', allowed: [200], prepare: changeType },
    { name: 'a shutdown with the first ReadyForQuery', allowed: [200], prepare: endIdle,
      injections: () => [{ at: /^connect$/, fault: { do: 'shutdown' } }] },
    { name: 'clients with another encoding', allowed: [200], prepare: runOnAllClients("SET client_encoding = 'LATIN1'") },
    { name: 'clients in a transaction', allowed: [200], prepare: runOnAllClients('BEGIN') },
    { name: 'clients without their prepared statements', allowed: [200], prepare: runOnAllClients('DEALLOCATE ALL') },
    { name: 'handlerTimeout during COMMIT, which is refused', allowed: [200, 503], injections: (lane) => [
      { at: COMMIT, fault: { do: 'refuse', fields: error('40001') } }, { at: /^RELEASE|insert into "omnichannel_statistic"/, after: lane.isHooked ? 1 : 0, fault: expire(lane) }] },
    { name: 'handlerTimeout during COMMIT, which is lost', allowed: [200, 503], injections: (lane) => [
      { at: COMMIT, fault: { do: 'cut-before' } }, { at: /^select "update_id", "version"/, fault: expire(lane) }] }
  ]
  await exploreAll(t, scenarios.flatMap((scenario) => modes.map((mode) => ({ ...scenario, ...mode, name: `${scenario.name}${describeMode(mode)}` }))), open, explore)
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
  await within(until(() => pool.totalCount === 0), 'the last client')
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
async function referenceContact ({ direct }: Lane) {
  const client = await direct.connect()
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
