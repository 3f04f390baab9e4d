import { createClient as generateHeyApi } from '@hey-api/openapi-ts'
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import openapiTypescript, { astToString } from 'openapi-typescript'
import { generate as generateOrval } from 'orval'
import t from 'tap'
import { build } from '../build.js'

// Clients as somebody who has only openapi.json would write them, one with each generator at its defaults. Each does the same: an update, one with a
// body that is wrong, and one with a token that is. Where an answer were any, what has no type would have one.

const openapiFetch = `
import createClient from 'openapi-fetch'
import type { components, paths } from './contacts-api.js'

const path = '/api/v1/omnichannel/contacts.update'
const client = (baseUrl: string, token: string) => createClient<paths>({ baseUrl, headers: { 'X-User-Id': 'ann', 'X-Auth-Token': token } })

export async function run (baseUrl: string): Promise<unknown[]> {
  const { POST } = client(baseUrl, 'token-of-ann')
  const done = await POST(path, {
    params: { header: { 'If-Match': '*', 'Idempotency-Key': 'openapi-fetch' } },
    body: { contactId: 'maria', emails: ['new@example.com'], phones: null, wipeConflicts: true }
  })
  if (done.error !== undefined) throw new Error(done.error.error)
  const { success, contact } = done.data
  const always: true = success
  const named: components['schemas']['Contact'] = contact
  const type: 'widget' | 'email' | 'sms' | 'app' | 'api' | 'other' | undefined = named.channels[0]?.visitor.source.type

  // @ts-expect-error: a list is no text
  const wrong = await POST(path, { body: { contactId: 'maria', emails: 'a@b' } })
  const failed: false | undefined = wrong.error?.success
  const kind: 'invalid-params' | undefined = wrong.error?.errorType

  const stranger = await client(baseUrl, 'wrong').POST(path, { body: { contactId: 'maria' } })
  const status: 'error' | undefined = stranger.error?.status
  return [
    done.response.status, always, contact.emails[0]?.address, contact.contactManager, type,
    wrong.response.status, failed, kind, wrong.error?.error, stranger.response.status, status, stranger.error?.message
  ]
}

export async function mistakes (): Promise<void> {
  const { POST } = client('', '')
  // @ts-expect-error: contactId is required
  await POST(path, { body: { name: 'Maria' } })
  // @ts-expect-error: a name cannot be null
  await POST(path, { body: { contactId: 'maria', name: null } })
  // @ts-expect-error: a key is a text
  await POST(path, { params: { header: { 'Idempotency-Key': 1 } }, body: { contactId: 'maria' } })
  // @ts-expect-error: other keys are refused
  void ({ contactId: 'maria', unknown: true } satisfies components['schemas']['UpdateContactBody'])
  const { data, error } = await POST(path, { body: { contactId: 'maria' } })
  // @ts-expect-error: the answer has nothing else
  void data?.nothing
  // @ts-expect-error: nor has the error
  void error?.nothing
  type Responses = paths[typeof path]['post']['responses']
  void ((done: Responses[200]): string | undefined => done.headers.ETag)
  void ((done: Responses[200]): 'true' | undefined => done.headers['Idempotency-Replayed'])
  void ((stale: Responses[412]): string | undefined => stale.headers.ETag)
  // @ts-expect-error: nothing has the status 404
  void ((gone: Responses[404]) => gone)
}
`

const heyApi = `
import { type Contact, type ErrorReply, type UpdateContactBody, updateContact } from './hey-api/index.js'

const as = (token: string) => ({ name }: { name?: string }) => name === 'X-User-Id' ? 'ann' : token

export async function run (baseUrl: string): Promise<unknown[]> {
  const auth = as('token-of-ann')
  const done = await updateContact({
    baseUrl, auth, headers: { 'If-Match': '*', 'Idempotency-Key': 'hey-api' },
    body: { contactId: 'maria', emails: ['new@example.com'], phones: null, wipeConflicts: true }
  })
  if (done.error !== undefined) throw new Error(done.error.error)
  const always: true = done.data.success
  const contact: Contact = done.data.contact
  const type: 'widget' | 'email' | 'sms' | 'app' | 'api' | 'other' | undefined = contact.channels[0]?.visitor.source.type

  // @ts-expect-error: a list is no text
  const wrong = await updateContact({ baseUrl, auth, body: { contactId: 'maria', emails: 'a@b' } })
  const failed: false | undefined = wrong.error?.success
  const kind: 'invalid-params' | undefined = wrong.error?.errorType

  const stranger = await updateContact({ baseUrl, auth: as('wrong'), body: { contactId: 'maria' } })
  const error: ErrorReply | undefined = stranger.error
  return [
    done.response?.status, always, contact.emails[0]?.address, contact.contactManager, type,
    wrong.response?.status, failed, kind, wrong.error?.error, stranger.response?.status, error?.status, error?.message
  ]
}

export async function mistakes (): Promise<void> {
  // @ts-expect-error: contactId is required
  void ({ name: 'Maria' } satisfies UpdateContactBody)
  // @ts-expect-error: other keys are refused
  void ({ contactId: 'maria', unknown: true } satisfies UpdateContactBody)
  const { data, error } = await updateContact({ body: { contactId: 'maria' } })
  // @ts-expect-error: the answer has nothing else
  void data?.nothing
  // @ts-expect-error: nor has the error
  void error?.nothing
}
`

const orval = `
import { type Contact, type UpdateContactBody, updateContact } from './orval-api.js'

const as = (token: string, more: Record<string, string> = {}) => ({ headers: { 'X-User-Id': 'ann', 'X-Auth-Token': token, ...more } })

export async function run (): Promise<unknown[]> {
  const ann = as('token-of-ann')
  const done = await updateContact(
    { contactId: 'maria', emails: ['new@example.com'], phones: null, wipeConflicts: true }, as('token-of-ann', { 'If-Match': '*', 'Idempotency-Key': 'orval' }))
  if (done.status !== 200) throw new Error(done.data.error)
  const always: true = done.data.success
  const contact: Contact = done.data.contact
  const type: 'widget' | 'email' | 'sms' | 'app' | 'api' | 'other' | undefined = contact.channels[0]?.visitor.source.type

  // @ts-expect-error: a list is no text
  const wrong = await updateContact({ contactId: 'maria', emails: 'a@b' }, ann)
  if (wrong.status !== 400) throw new Error(String(wrong.status))
  const failed: false = wrong.data.success
  const kind: 'invalid-params' | undefined = wrong.data.errorType

  const stranger = await updateContact({ contactId: 'maria' }, as('wrong'))
  if (stranger.status !== 401) throw new Error(String(stranger.status))
  const status: 'error' | undefined = stranger.data.status
  return [
    done.status, always, contact.emails[0]?.address, contact.contactManager, type,
    wrong.status, failed, kind, wrong.data.error, stranger.status, status, stranger.data.message
  ]
}

export async function mistakes (): Promise<void> {
  // @ts-expect-error: contactId is required
  void ({ name: 'Maria' } satisfies UpdateContactBody)
  // @ts-expect-error: other keys are refused
  void ({ contactId: 'maria', unknown: true } satisfies UpdateContactBody)
  const { status, data } = await updateContact({ contactId: 'maria' })
  // @ts-expect-error: neither answer has that
  void data.nothing
  // @ts-expect-error: nothing has the status 404
  void (status === 404)
}
`

const clients = { 'openapi-fetch': openapiFetch, 'hey-api': heyApi, orval }

const tsconfig = {
  compilerOptions: {
    target: 'ES2023',
    module: 'NodeNext',
    lib: ['ES2023', 'DOM', 'DOM.Iterable'],
    types: [],
    strict: true,
    noUncheckedIndexedAccess: true,
    rootDir: '.',
    outDir: 'dist'
  }
}

const unauthorized = 'You must be logged in to do this.'
const typescript = join(createRequire(import.meta.url).resolve('typescript-7/package.json'), '../lib/tsc.js')

t.test('clients that are generated from openapi.json: compile, and get typed answers from the server', async (t) => {
  const contentTypes: unknown[] = []
  const { app, db } = await build(t, {
    host: (app) => { app.addHook('onRequest', async ({ headers }) => { contentTypes.push(headers['content-type']) }) }
  })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  // Inside the package, so that openapi-fetch is found.
  const folder = t.testdir({
    ...Object.fromEntries(Object.entries(clients).map(([name, text]) => [`${name}.ts`, text])),
    'package.json': '{ "type": "module" }',
    'tsconfig.json': JSON.stringify(tsconfig)
  })

  writeFileSync(join(folder, 'contacts-api.ts'), astToString(await openapiTypescript(readFileSync('openapi.json', 'utf8'))))
  await generateHeyApi({
    input: 'openapi.json',
    output: { path: join(folder, 'hey-api'), tsConfigPath: join(folder, 'tsconfig.json') },
    logs: { level: 'silent' }
  })
  await generateOrval({
    input: { target: 'openapi.json' },
    // Axios, its default, would be one more package, and names the content type of an object whatever the document says.
    output: { target: join(folder, 'orval-api.ts'), client: 'fetch', baseUrl: url }
  }, process.cwd(), { logLevel: 'error' })

  const { stdout, status } = spawnSync(process.execPath, [typescript, '-p', folder], { encoding: 'utf8' })
  t.equal(stdout, '')
  t.equal(status, 0)

  for (const name of Object.keys(clients)) {
    await db.exec("UPDATE omnichannel_contact_email SET address = 'old@example.com'")
    const { run } = await import(pathToFileURL(join(folder, `dist/${name}.js`)).href) as { run: (baseUrl: string) => Promise<unknown[]> }
    t.strictSame(await run(url), [
      200, true, 'new@example.com', 'bob', 'widget',
      400, false, 'invalid-params', 'must be array [invalid-params]',
      401, 'error', unauthorized
    ], name)
    t.strictSame(contentTypes.splice(0), ['application/json', 'application/json', 'application/json'], name)
  }
})
