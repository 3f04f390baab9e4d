// npm run test:clients: generates a client from openapi.json with each generator, with its default settings. Each file in `calls` uses one
// client: its `run` sends an update, an update with a wrong body, and an update with a wrong token. Lines below @ts-expect-error must not
// compile: they would if an answer had the type `any`.

import { execFile } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { build } from '../helpers/test-server.js'

const folder = import.meta.dirname
const document = join(folder, '../../openapi.json')
const generated = join(folder, 'calls/generated')

/** Runs a program of test/clients/node_modules. Resolves to its stdout. */
async function run (program: string, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(join(folder, 'node_modules/.bin', program), args, { cwd: folder })
  return stdout
}

t.before(async () => {
  rmSync(generated, { recursive: true, force: true })
  await run('openapi-typescript', document, '--output', join(generated, 'openapi-typescript.ts'))
  await run('openapi-ts', '--input', document, '--output', join(generated, 'hey-api'))
  await run('orval', '--input', document, '--output', join(generated, 'orval.ts'))
})

t.test('generated clients: compile, and the compiler finds each mistake in their use', async (t) => {
  t.equal(await run('tsc'), '')
})

for (const name of ['openapi-fetch', 'hey-api', 'orval']) {
  t.test(`${name}: sends JSON, and gets typed answers from the server`, async (t) => {
    const contentTypes: unknown[] = []
    const { app, db } = await build(t, {
      host: (app) => { app.addHook('onRequest', async ({ headers }) => { contentTypes.push(headers['content-type']) }) }
    })
    await db.exec("UPDATE omnichannel_contact_email SET address = 'old@example.com'")
    const { run } = await import(`./calls/${name}.js`) as { run: (baseUrl: string) => Promise<object> }
    t.strictSame(await run(await app.listen({ port: 0, host: '127.0.0.1' })), {
      update: { status: 200, success: true, email: 'new@example.com', contactManager: 'bob', sourceType: 'widget' },
      wrongBody: { status: 400, success: false, errorType: 'invalid-params', error: 'must be array [invalid-params]' },
      wrongToken: { status: 401, statusInBody: 'error', message: 'You must be logged in to do this.' }
    })
    t.strictSame(contentTypes, ['application/json', 'application/json', 'application/json'])
  })
}
