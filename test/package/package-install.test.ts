import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'

// Without what tap loads into its children.
const env = { ...process.env, NODE_OPTIONS: '' }

async function run (file: string, args: string[], cwd?: string): Promise<string> {
  const { stdout } = await promisify(execFile)(file, args, { env, cwd }).catch((error: unknown) => {
    const { stdout, stderr } = error as Record<'stdout' | 'stderr', string>
    throw new Error(`${file} ${args.join(' ')}\n${stdout}${stderr}`)
  })
  return stdout
}

const request = `{
  method: 'POST',
  url: '/api/v1/omnichannel/contacts.update',
  headers: { 'x-user-id': 'ann', 'x-auth-token': 's3cret' },
  payload: { contactId: 'maria', name: 'Maria Silva' }
}`
const fill = `
database.exec(\`
  INSERT INTO omnichannel_contact (id, name) VALUES ('maria', 'Maria');
  INSERT INTO omnichannel_user (id) VALUES ('ann');
  INSERT INTO omnichannel_user_role VALUES ('ann', 'livechat-agent');
\`)
database.prepare('INSERT INTO omnichannel_auth_token (hashed_token, user_id) VALUES (?, ?)').run(hashToken('s3cret'), 'ann')
`
const printed = '200 Maria Silva\n'

const esm = `
import Database from 'better-sqlite3'
import fastify from 'fastify'
import omnichannelContacts, { hashToken } from 'fastify-omnichannel-contacts'
import { createRequire } from 'node:module'
const database = new Database(':memory:')
const app = fastify()
await app.register(omnichannelContacts, { database })
${fill}
const reply = await app.inject(${request})
console.log(reply.statusCode, reply.json().contact.name)
const files = createRequire(import.meta.url)
for (const file of ['schema.sql', 'openapi.json', 'package.json']) files.resolve(\`fastify-omnichannel-contacts/\${file}\`)
`
const cjs = `
const Database = require('better-sqlite3')
const fastify = require('fastify')
const omnichannelContacts = require('fastify-omnichannel-contacts')
const { hashToken } = omnichannelContacts
const database = new Database(':memory:')
const app = fastify()
app.register(omnichannelContacts, { database })
app.ready().then(async () => {
  ${fill}
  const reply = await app.inject(${request})
  console.log(reply.statusCode, reply.json().contact.name)
})
`
const typescript = `
import Database from 'better-sqlite3'
import fastify from 'fastify'
import omnichannelContacts, {
  ContactNotFoundError, UpdateContactBody, hashToken,
  type Contact, type ContactUpdatedEvent, type OmnichannelContactsOptions, type User
} from 'fastify-omnichannel-contacts'

interface Agent extends User { team: string }
const database = new Database(':memory:')
const options: OmnichannelContactsOptions = {
  database,
  authenticate: (request): Agent | null => hashToken(String(request.headers['x-auth-token'])) === hashToken('s3cret') ? { id: 'ann', team: 'desk' } : null,
  authorize: async ({ id }, permission) => id === 'ann' && permission === 'update-livechat-contact',
  onContactUpdated: ({ contact, previous, changedFields }: ContactUpdatedEvent) => {
    const names: [Contact['name'], Contact['name'], Array<keyof Contact>] = [contact.name, previous.name, changedFields]
    if (names[2].includes('contactManager')) throw new ContactNotFoundError()
  }
}
const app = fastify()
await app.register(omnichannelContacts, options)
// @ts-expect-error: a database is required
void ((): unknown => app.register(omnichannelContacts, { prefix: '/x' }))
// @ts-expect-error: an option that does not exist
void ((): unknown => app.register(omnichannelContacts, { database, lockTimeOut: 1 }))
database.exec("INSERT INTO omnichannel_contact (id, name) VALUES ('maria', 'Maria')")
const payload: UpdateContactBody = { contactId: 'maria', name: 'Maria Silva', phones: null }
const reply = await app.inject({ ...${request}, payload })
console.log(reply.statusCode, reply.json<{ contact: Contact }>().contact.name)
if (UpdateContactBody.properties.contactId.type !== 'string') throw new Error()
`
const typescriptCjs = `
import Database = require('better-sqlite3')
import fastify = require('fastify')
import contacts = require('fastify-omnichannel-contacts')
const options: contacts.OmnichannelContactsOptions = { database: new Database(':memory:') }
export const ready = fastify.fastify().register(contacts.default, options).ready()
`
const tsconfig = {
  compilerOptions: {
    target: 'es2023',
    module: 'nodenext',
    types: ['node'],
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    skipLibCheck: false
  },
  files: ['main.ts', 'other.cts']
}

function versionOf (name: string): string {
  return (JSON.parse(readFileSync(`node_modules/${name}/package.json`, 'utf8')) as { version: string }).version
}

t.setTimeout(300_000)

void t.test('the tarball installed: it runs in a project of each kind, and its types are strict', async (t) => {
  // Outside of the repository, so that only what was installed can be found.
  const folder = mkdtempSync(join(tmpdir(), 'fastify-omnichannel-contacts-'))
  t.teardown(() => { rmSync(folder, { recursive: true }) })
  await run('npm', ['pack', '--ignore-scripts', '--pack-destination', folder])
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }')
  const others = ['fastify', 'better-sqlite3', 'kysely', 'typescript', '@types/better-sqlite3', '@types/node']
  await run('npm', [
    'install', '--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund',
    `./fastify-omnichannel-contacts-${versionOf('..')}.tgz`, ...others.map((name) => `${name}@${versionOf(name)}`)
  ], folder)
  // Building it again would take over a minute. Version 13 brings it along.
  const addon = 'node_modules/better-sqlite3/build/Release/better_sqlite3.node'
  if (existsSync(addon)) cpSync(addon, join(folder, addon))

  await t.test('an ES module', async (t) => {
    writeFileSync(join(folder, 'main.mjs'), esm)
    t.equal(await run(process.execPath, ['main.mjs'], folder), printed)
  })

  await t.test('a CommonJS module: require() gives what register takes', async (t) => {
    writeFileSync(join(folder, 'main.cjs'), cjs)
    t.equal(await run(process.execPath, ['main.cjs'], folder), printed)
  })

  await t.test('strict TypeScript, with the libraries checked too', async (t) => {
    writeFileSync(join(folder, 'main.ts'), typescript)
    writeFileSync(join(folder, 'other.cts'), typescriptCjs)
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(tsconfig))
    t.equal(await run(process.execPath, ['node_modules/typescript/bin/tsc'], folder), '')
    t.equal(await run(process.execPath, ['main.js'], folder), printed)
    t.equal(await run(process.execPath, ['other.cjs'], folder), '')
  })
})
