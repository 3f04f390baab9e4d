// Starts two nodes in processes of their own, as the compose file does, on a PostgreSQL of the tests.
//
//   npx tap --disable-coverage examples/several-nodes.test.ts

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { isAvailable } from '../test/helpers/postgres-server.js'
import { openSchema } from '../test/helpers/postgres.js'

const headers = { 'content-type': 'application/json', 'x-user-id': 'ann', 'x-auth-token': 's3cret' }

async function start (t: Test, url: string): Promise<{ child: ChildProcess, address: string }> {
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), resolve('examples/several-nodes.ts')], {
    env: { ...process.env, PORT: '0', DATABASE_URL: url }, stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(() => { child.kill('SIGKILL') })
  for await (const line of createInterface({ input: child.stdout })) {
    const address = /http:\/\/127\.0\.0\.1:\d+/.exec(line)?.[0]
    if (address !== undefined) return { child, address }
  }
  throw new Error('it ended before it listened')
}

t.test('two nodes: each sees the updates of the other, and replays its answers after it is killed', { skip: !isAvailable }, async (t) => {
  const { db, url, close } = await openSchema()
  t.teardown(close)
  // Both create the tables at once, and both add ann and Maria.
  const nodes = await Promise.all([start(t, url), start(t, url)])
  const update = async (address: string, change: object, more = {}) => await fetch(`${address}/api/v1/omnichannel/contacts.update`, {
    method: 'POST', headers: { ...headers, ...more }, body: JSON.stringify({ contactId: 'maria', ...change })
  })

  const [first, second] = nodes
  t.strictSame(await (await fetch(`${first.address}/health`)).json(), { status: 'ok' })
  const updated = await update(first.address, { name: 'Maria Silva' }, { 'idempotency-key': 'key' })
  t.strictSame([updated.status, updated.headers.get('etag')], [200, '"2"'])
  const stale = await update(second.address, { name: 'Marie' }, { 'if-match': '"1"' })
  t.equal(stale.status, 412)
  first.child.kill('SIGKILL')
  await once(first.child, 'exit')
  // A client that got no answer repeats its request at the other node.
  const replayed = await update(second.address, { name: 'Maria Silva' }, { 'idempotency-key': 'key' })
  t.strictSame([replayed.status, replayed.headers.get('etag'), replayed.headers.get('idempotency-replayed')], [200, '"2"', 'true'])
  t.equal(await db.value("SELECT name FROM omnichannel_contact WHERE id = 'maria'"), 'Maria Silva')
  second.child.kill('SIGTERM')
  t.strictSame(await once(second.child, 'exit'), [0, null])
})
