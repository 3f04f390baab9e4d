// npx tap --disable-coverage examples/several-nodes.test.ts
//
// Starts two nodes in processes of their own, as the compose file does, on a PostgreSQL of the tests.

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
  // Both make the schema at once, and both add ann and Maria.
  const nodes = await Promise.all([start(t, url), start(t, url)])
  const update = async (address: string, change: object, more = {}) => await fetch(`${address}/api/v1/omnichannel/contacts.update`, {
    method: 'POST', headers: { ...headers, ...more }, body: JSON.stringify({ contactId: 'maria', ...change })
  })

  const [a, b] = nodes
  t.strictSame(await (await fetch(`${a.address}/health`)).json(), { status: 'ok' })
  const first = await update(a.address, { name: 'Maria Silva' }, { 'idempotency-key': 'k' })
  t.strictSame([first.status, first.headers.get('etag')], [200, '"2"'])
  const stale = await update(b.address, { name: 'Marie' }, { 'if-match': '"1"' })
  t.equal(stale.status, 412)
  a.child.kill('SIGKILL')
  await once(a.child, 'exit')
  // A client that got no answer repeats its request at the other node.
  const again = await update(b.address, { name: 'Maria Silva' }, { 'idempotency-key': 'k' })
  t.strictSame([again.status, again.headers.get('etag'), again.headers.get('idempotency-replayed')], [200, '"2"', 'true'])
  t.equal(await db.value("SELECT name FROM omnichannel_contact WHERE id = 'maria'"), 'Maria Silva')
  b.child.kill('SIGTERM')
  t.strictSame(await once(b.child, 'exit'), [0, null])
})
