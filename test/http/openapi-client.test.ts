import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import openapiTypescript, { astToString } from 'openapi-typescript'
import t from 'tap'
import ts from 'typescript'
import { build } from '../build.js'

// A client as somebody who has only openapi.json would write it. The compiler judges it as strictly as it can.
const client = `
import createClient from 'openapi-fetch'
import type { paths } from './contacts-api.js'

const headers = { 'X-User-Id': 'ann', 'X-Auth-Token': 'token-of-ann' }

export async function run (baseUrl: string): Promise<unknown[]> {
  const { POST } = createClient<paths>({ baseUrl })
  const { data } = await POST('/api/v1/omnichannel/contacts.update', {
    params: { header: headers },
    body: { contactId: 'maria', emails: ['new@example.com'], phones: null, wipeConflicts: true }
  })
  const success: true | undefined = data?.success
  const address: string | undefined = data?.contact.emails[0]?.address
  const manager: string | undefined = data?.contact.contactManager
  const type: 'widget' | 'email' | 'sms' | 'app' | 'api' | 'other' | undefined = data?.contact.channels[0]?.visitor.source.type

  const { error, response } = await POST('/api/v1/omnichannel/contacts.update', {
    params: { header: { ...headers, 'X-Auth-Token': 'wrong' } },
    body: { contactId: 'maria' }
  })
  const failed: false | undefined = error?.success
  const text: string | undefined = error?.error

  const tag = { 'If-Match': '"1"', 'Idempotency-Key': 'k' }
  const stale = await POST('/api/v1/omnichannel/contacts.update', {
    params: { header: { ...headers, ...tag } },
    body: { contactId: 'maria', name: 'Marie' }
  })
  return [success, address, manager, type, response.status, failed, text, stale.error?.error, stale.response.headers.get('etag')]
}

export function mistakes (): void {
  const { POST } = createClient<paths>()
  // @ts-expect-error: the headers are required
  void POST('/api/v1/omnichannel/contacts.update', { body: { contactId: 'maria' } })
  // @ts-expect-error: so is contactId
  void POST('/api/v1/omnichannel/contacts.update', { params: { header: headers }, body: { name: 'Maria' } })
  // @ts-expect-error: a list is no text
  void POST('/api/v1/omnichannel/contacts.update', { params: { header: headers }, body: { contactId: 'maria', emails: 'a@b' } })
  // @ts-expect-error: a name cannot be null
  void POST('/api/v1/omnichannel/contacts.update', { params: { header: headers }, body: { contactId: 'maria', name: null } })
  type Responses = paths['/api/v1/omnichannel/contacts.update']['post']['responses']
  void ((stale: Responses[412]): string | undefined => stale.headers.ETag)
  void ((done: Responses[200]): 'true' | undefined => done.headers['Idempotency-Replayed'])
  // @ts-expect-error: a key is a text
  void POST('/api/v1/omnichannel/contacts.update', { params: { header: { ...headers, 'Idempotency-Key': 1 } }, body: { contactId: 'maria' } })
  type Body = paths['/api/v1/omnichannel/contacts.update']['post']['requestBody']['content']['application/json']
  // @ts-expect-error: other keys are refused
  void ({ contactId: 'maria', unknown: true } satisfies Body)
}
`

const readme = [...readFileSync('README.md', 'utf8').matchAll(/^```ts\n(.*?)^```/gms)].map(([, snippet]) => snippet!)

void t.test('types generated from openapi.json: a typed client and the README compile, and the client talks to the server', async (t) => {
  // Inside the package, so that openapi-fetch is found.
  const files = { 'client.ts': client, ...Object.fromEntries(readme.map((snippet, index) => [`readme-${index}.ts`, snippet])) }
  const folder = t.testdir({ ...files, 'package.json': '{ "type": "module" }' })
  const types = await openapiTypescript(readFileSync('openapi.json', 'utf8'))
  writeFileSync(join(folder, 'contacts-api.ts'), astToString(types))

  const program = ts.createProgram(Object.keys(files).map((file) => join(folder, file)), {
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.NodeNext,
    lib: ['lib.es2023.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'],
    types: [],
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    skipLibCheck: true
  })
  const mistakes = ts.getPreEmitDiagnostics(program).map(({ file, messageText }) =>
    `${file?.fileName ?? ''}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`)
  t.strictSame(mistakes, [])
  program.emit()

  const { app } = await build(t)
  const { run } = await import(pathToFileURL(join(folder, 'client.js')).href) as { run: (baseUrl: string) => Promise<unknown[]> }
  t.strictSame(await run(await app.listen({ port: 0, host: '127.0.0.1' })), [
    true, 'new@example.com', 'bob', 'widget', 401, false, 'You must be logged in to do this.', 'error-contact-version-mismatch', '"2"'
  ])
})
