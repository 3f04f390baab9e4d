import { cpSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { install, ownName, run, versionOf } from './install.js'
import { packages } from './readme.js'
import { runSnippets } from './readme-snippets.js'

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
for (const file of ['schema.sql', 'schema.postgres.sql', 'openapi.json', 'package.json']) files.resolve(\`fastify-omnichannel-contacts/\${file}\`)
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

// The sources are those of test/fixtures/consumer. To require() an ES module is known to TypeScript 5.8 and later under
// `nodenext`, and to `preserve` always.
const all = ['module.ts', 'import.cts', 'require.cts']
const withoutRequire = ['module.ts', 'import.cts']
const bundler = { module: 'preserve', moduleResolution: 'bundler' }
const compilers: Record<string, { flags: string[], projects: Record<string, [compilerOptions: object, files: string[]]> }> = {
  // It takes seconds of processor time to check the libraries: once, while the newest does it each time.
  'typescript-5.5': {
    flags: [],
    projects: {
      nodenext: [{ module: 'nodenext', skipLibCheck: true }, withoutRequire],
      node16: [{ module: 'node16', skipLibCheck: true }, withoutRequire],
      bundler: [bundler, all]
    }
  },
  typescript: {
    // Several threads would check some of the libraries several times.
    flags: ['--singleThreaded'],
    projects: {
      nodenext: [{ module: 'nodenext', noEmit: false }, all],
      node16: [{ module: 'node16' }, withoutRequire],
      bundler: [bundler, all]
    }
  }
}
const strict = {
  target: 'es2022',
  lib: ['es2023'],
  types: ['node'],
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  skipLibCheck: false,
  noEmit: true
}

t.setTimeout(300_000)

t.test('the tarball installed: it runs in a project of each kind, and its types are strict', async (t) => {
  const root = await install(t, {
    consumer: [ownName, 'fastify', 'better-sqlite3', 'kysely', '@types/better-sqlite3', '@types/node', 'typescript@^7', 'typescript-5.5@npm:typescript@~5.5'],
    readme: packages
  })
  const folder = join(root, 'consumer')

  await t.test('an ES module', async (t) => {
    writeFileSync(join(folder, 'main.mjs'), esm)
    t.equal(await run(process.execPath, ['main.mjs'], folder), printed)
  })

  await t.test('a CommonJS module: require() gives what register takes', async (t) => {
    writeFileSync(join(folder, 'main.cjs'), cjs)
    t.equal(await run(process.execPath, ['main.cjs'], folder), printed)
  })

  cpSync('test/fixtures/consumer', folder, { recursive: true })
  for (const [compiler, { flags, projects }] of Object.entries(compilers)) {
    await t.test(`strict TypeScript ${versionOf(compiler, folder)}: ${Object.keys(projects).join(', ')}`, async (t) => {
      const tsconfigs = Object.entries(projects).map(([resolution, [compilerOptions, files]]) => {
        const tsconfig = `${compiler}.${resolution}.json`
        writeFileSync(join(folder, tsconfig), JSON.stringify({ compilerOptions: { ...strict, ...compilerOptions }, files }))
        return tsconfig
      })
      const tsc = join('node_modules', compiler, 'lib/tsc.js')
      t.equal(await run(process.execPath, [tsc, '--build', ...flags, ...tsconfigs], folder), '')
    })
  }

  await t.test('what TypeScript has made of it runs', async (t) => {
    t.equal(await run(process.execPath, ['module.js'], folder), printed)
    t.equal(await run(process.execPath, ['import.cjs'], folder), 'ready\n')
    t.equal(await run(process.execPath, ['require.cjs'], folder), 'ready\n')
  })

  await t.test('the README: every snippet runs after its Install, twice, and is strict TypeScript', async (t) => {
    await runSnippets(t, join(root, 'readme'), join(folder, 'node_modules/typescript/lib/tsc.js'))
  })
})
