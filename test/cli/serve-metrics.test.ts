// GET /metrics of `serve --metrics`.

import { once } from 'node:events'
import type { Test } from 'tap'
import { as, fill } from '../helpers/test-server.js'
import type { Db } from '../helpers/database.js'
import { postgres, sqlite } from '../helpers/engines.js'
import { openSchema } from '../helpers/postgres.js'
import { sqliteDb } from '../helpers/sqlite.js'
import { until } from '../helpers/waiting.js'
import { cli, serve, serveFile, update as send } from './run-cli.js'
import { openRawConnection, rawUpdate } from './start-server.js'

async function update (url: string, body: object, headers?: Record<string, string>): Promise<number> {
  return (await send(url, { contactId: 'maria', ...body }, headers)).status
}

/** The values of all samples, by their names and labels as Prometheus writes them. */
async function scrape (url: string): Promise<Map<string, number>> {
  const text = await (await fetch(`${url}/metrics`)).text()
  const samples = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(samples.map((line) => {
    const lastSpace = line.lastIndexOf(' ')
    return [line.slice(0, lastSpace), Number(line.slice(lastSpace + 1))]
  }))
}

/** The value of one sample. */
async function sample (url: string, name: string): Promise<number | undefined> {
  return (await scrape(url)).get(name)
}

/** Makes updates with each kind of answer, and checks the samples that both engines share. Returns all samples. */
async function checkCounts (t: Test, url: string, db: Db): Promise<Map<string, number>> {
  await db.exec("UPDATE omnichannel_custom_field SET regexp = '(' WHERE id = 'plan'")
  t.equal(await update(url, { name: 'A' }), 200)
  t.equal(await update(url, {}), 200)
  t.equal(await update(url, { contactId: 'none' }), 400)
  t.equal(await update(url, {}, as('none')), 401)
  t.equal(await update(url, { customFields: { plan: 'gold' } }), 400)
  const headers = { ...as('ann'), 'idempotency-key': 'key' }
  t.equal(await update(url, { name: 'B' }, headers), 200)
  t.equal(await update(url, { name: 'B' }, headers), 200)
  await db.refuseUpdates('omnichannel_contact')
  t.equal(await update(url, { name: 'C' }), 500)
  await db.allowUpdates('omnichannel_contact')
  const samples = await scrape(url)
  t.match(Object.fromEntries(samples), {
    'omnichannel_requests_total{status="200",outcome="committed"}': 2,
    'omnichannel_requests_total{status="200",outcome="unchanged"}': 1,
    'omnichannel_requests_total{status="200",outcome="replayed"}': 1,
    'omnichannel_requests_total{status="400",outcome="refused"}': 2,
    'omnichannel_requests_total{status="401",outcome="none"}': 1,
    'omnichannel_requests_total{status="500",outcome="failed"}': 1,
    omnichannel_request_duration_seconds_count: 8,
    omnichannel_update_wait_seconds_count: 7,
    omnichannel_unanswered_patterns_total: 1,
    omnichannel_update_retries_total: 0,
    omnichannel_queue_length: 0
  })
  for (const name of ['omnichannel_commit_duration_seconds_count', 'omnichannel_commit_updates_sum']) t.ok(samples.get(name)! >= 2, name)
  for (const name of ['nodejs_eventloop_lag_p99_seconds', 'nodejs_eventloop_lag_max_seconds']) t.ok(samples.has(name), name)
  return samples
}

sqlite.test('a file: counts each kind of answer, and the size of the write-ahead log', async (t) => {
  const { url, database } = await serveFile(t, ['--metrics'])
  const samples = await checkCounts(t, url, sqliteDb(database))
  t.ok(samples.get('omnichannel_wal_size_bytes')! > 4096)
  t.notOk(samples.has('omnichannel_pool_waiting'))
  const reply = await fetch(`${url}/metrics`)
  t.strictSame([reply.status, reply.headers.get('content-type')], [200, 'text/plain; version=0.0.4; charset=utf-8'])
  t.notMatch(await reply.text(), /maria|ann\b|token-of/)
})

sqlite.test('a database in memory: has a write-ahead log of no bytes', async (t) => {
  const { url } = await serve(t, ['--database', ':memory:', '--metrics'])
  t.equal(await sample(url, 'omnichannel_wal_size_bytes'), 0)
})

postgres.test('a server: counts each kind of answer, retries, and the clients of the pool', async (t) => {
  const { db, url: database, close } = await openSchema()
  t.teardown(close)
  const { url } = await serve(t, ['--database', database, '--metrics'])
  await fill(db)
  const samples = await checkCounts(t, url, db)
  t.ok(samples.get('omnichannel_pool_clients{state="idle"}')! >= 1)
  t.strictSame([samples.get('omnichannel_pool_clients{state="in use"}'), samples.get('omnichannel_pool_waiting')], [0, 0])
  t.notOk(samples.has('omnichannel_wal_size_bytes'))

  // The first update fails with a serialization failure, so it is tried again.
  await db.exec(`CREATE SEQUENCE times;
    CREATE FUNCTION once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF nextval('times') = 1 THEN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END IF; RETURN NEW; END $$;
    CREATE TRIGGER once BEFORE UPDATE ON omnichannel_contact FOR EACH ROW EXECUTE FUNCTION once()`)
  t.equal(await update(url, { name: 'D' }), 200)
  t.equal(await sample(url, 'omnichannel_update_retries_total'), 1)
})

sqlite.test('another connection locks the file: waiting updates are counted in the queue, and each 503 with its obstacle', async (t) => {
  const { url, database } = await serveFile(t, ['--metrics', '--log-level', 'silent'])
  database.exec('BEGIN IMMEDIATE')
  const waiting = Promise.all([update(url, { name: 'A' }), update(url, { name: 'B' })])
  await until(async () => await sample(url, 'omnichannel_queue_length') === 2)
  t.strictSame(await waiting, [503, 503])
  const samples = await scrape(url)
  t.equal(samples.get('omnichannel_queue_length'), 0)
  t.equal(samples.get('omnichannel_busy_total{obstacle="other-connection"}'), 2)
  t.equal(samples.get('omnichannel_requests_total{status="503",outcome="busy"}'), 2)
  database.exec('COMMIT')
})

postgres.test('the caller cannot be looked up: 503 and 500 are counted as requests, not as updates', async (t) => {
  const { db, url: database, close } = await openSchema()
  t.teardown(close)
  const { url } = await serve(t, ['--database', database, '--metrics', '--log-level', 'silent'])
  await fill(db)
  await db.exec('BEGIN; LOCK TABLE omnichannel_auth_token')
  t.equal(await update(url, { name: 'A' }), 503)
  await db.exec('ALTER TABLE omnichannel_auth_token RENAME TO away; COMMIT')
  t.equal(await update(url, { name: 'A' }), 500)
  const samples = await scrape(url)
  t.match(Object.fromEntries(samples), {
    'omnichannel_requests_total{status="503",outcome="none"}': 1,
    'omnichannel_requests_total{status="500",outcome="none"}': 1,
    omnichannel_request_duration_seconds_count: 2,
    omnichannel_update_wait_seconds_count: 0
  })
  const busyCounts = [...samples].filter(([name]) => name.startsWith('omnichannel_busy_total')).map(([, count]) => count)
  t.strictSame(busyCounts, [1])
})

sqlite.test('a client that disconnects while 20 requests wait: they are counted as abandoned, without a status', async (t) => {
  const { url, port, database } = await serveFile(t, ['--metrics'])
  database.exec('BEGIN IMMEDIATE')
  const { socket } = await openRawConnection(port)
  socket.write(rawUpdate('{"contactId":"maria","name":"A"}').repeat(20))
  await until(async () => await sample(url, 'omnichannel_queue_length') === 20)
  const countSockets = () => process.getActiveResourcesInfo().filter((type) => type === 'TCPSocketWrap').length
  const before = countSockets()
  socket.destroy()
  // Both ends of the connection are in this process.
  await until(() => countSockets() <= before - 2)
  database.exec('COMMIT')
  await until(async () => await sample(url, 'omnichannel_queue_length') === 0)
  t.equal(await sample(url, 'omnichannel_requests_total{status="none",outcome="abandoned"}'), 20)
})

sqlite.test('a client that disconnects while it sends a body: its request is counted once', async (t) => {
  const { url, port } = await serveFile(t, ['--metrics'])
  const { socket } = await openRawConnection(port)
  // All but the last byte. The server answers to Expect when it reads the body.
  socket.write(rawUpdate('{"contactId":"maria"}', 'Expect: 100-continue\r\n').slice(0, -1))
  await once(socket, 'data')
  socket.destroy()
  const countRequests = async () => await sample(url, 'omnichannel_request_duration_seconds_count')
  await until(async () => await countRequests() !== 0)
  t.equal(await countRequests(), 1)
  t.equal(await sample(url, 'omnichannel_requests_total{status="none",outcome="none"}'), 1)
})

sqlite.test('several servers in one process: each counts its own requests', async (t) => {
  const [one, other] = [await serveFile(t, ['--metrics']), await serve(t, ['--database', ':memory:', '--metrics'])]
  t.equal(await update(one.url, { name: 'A' }), 200)
  t.equal(await sample(one.url, 'omnichannel_update_wait_seconds_count'), 1)
  t.equal(await sample(other.url, 'omnichannel_update_wait_seconds_count'), 0)
  await one.stop()
  await other.stop()
})

sqlite.test('/metrics: 404 unless the option or the variable is on', async (t) => {
  const statusOf = async (argv: string[], env = {}) => {
    const { url, stop } = await serve(t, ['--database', ':memory:', ...argv], { env })
    const { status } = await fetch(`${url}/metrics`)
    await stop()
    return status
  }
  t.equal(await statusOf([]), 404)
  t.equal(await statusOf(['--metrics', 'off']), 404)
  t.equal(await statusOf(['--metrics', 'on']), 200)
  t.equal(await statusOf([], { OMNICHANNEL_METRICS: 'on' }), 200)
  t.equal(await statusOf([], { OMNICHANNEL_METRICS: 'off' }), 404)
  t.match(await cli(['serve', '--metrics', 'yes']), { code: 2, err: /allowed choices are on, off/ })
  t.match(await cli(['serve'], { env: { OMNICHANNEL_METRICS: 'yes' } }), { code: 2, err: /allowed choices are on, off/ })
})

sqlite.test('--rate-limit and --metrics: /metrics does not count, and a 429 is a sample', async (t) => {
  const { url } = await serve(t, ['--database', ':memory:', '--metrics'], { env: { OMNICHANNEL_RATE_LIMIT: '1' } })
  for (let call = 0; call < 3; call++) t.equal((await fetch(`${url}/metrics`)).status, 200)
  t.strictSame([await update(url, {}), await update(url, {})], [401, 429])
  t.equal(await sample(url, 'omnichannel_requests_total{status="429",outcome="none"}'), 1)
})

sqlite.test('--rate-limit without --metrics: /metrics counts as any other path', async (t) => {
  const { url } = await serve(t, ['--database', ':memory:', '--rate-limit', '1'])
  t.equal((await fetch(`${url}/metrics`)).status, 404)
  t.equal((await fetch(`${url}/metrics`)).status, 429)
})
