// Installs the package with npm from the registry, and uses it as the README, the docs and TypeScript users do.

import { cpSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { skip } from '../helpers/node-sqlite.js'
import { isAvailable } from '../helpers/postgres-server.js'
import { openSchema } from '../helpers/postgres.js'
import { install, ownName, run, versionOf } from './install.js'
import { doc, docs, installsOf, packagesFor, readme, typePackages } from './pages.js'
import { runPage, type Project } from './snippets.js'

/** A program that must compile. It is not in test/fixtures/consumer, because the types of the lowest Node.js have no node:sqlite. */
const nodeSqliteProgram = `import fastify from 'fastify'
import { DatabaseSync } from 'node:sqlite'
import omnichannelContacts, { type OmnichannelContactsOptions } from 'fastify-omnichannel-contacts'

const database = new DatabaseSync(':memory:')
const options: OmnichannelContactsOptions = {
  database,
  beforeCommit: ({ contact }, connection: DatabaseSync) => { connection.prepare('INSERT INTO journal VALUES (?)').run(contact.name) }
}
const app = fastify()
await app.register(omnichannelContacts, options)
await app.register(omnichannelContacts, { database, prefix: '/x', beforeCommit: (_event, connection: DatabaseSync) => { connection.exec('SELECT 1') } })
// @ts-expect-error: the class is not a handle
void ((): unknown => app.register(omnichannelContacts, { database: DatabaseSync }))
`

// Files of test/fixtures/consumer. TypeScript accepts require() of an ES module under `preserve`, and under `nodenext` from version 5.8 on.
const withRequire = ['module.ts', 'import.cts', 'require.cts']
const withoutRequire = ['module.ts', 'import.cts']
const bundler = { module: 'preserve', moduleResolution: 'bundler' }

/** Packages of TypeScript, and the ways in which each compiles the files: its options for each kind of module resolution. */
const compilers: Record<string, { flags: string[], projects: Record<string, [compilerOptions: object, files: string[]]> }> = {
  // Checking the libraries takes seconds, so only `bundler` does it here.
  'typescript-5.5': {
    flags: [],
    projects: {
      nodenext: [{ module: 'nodenext', skipLibCheck: true }, withoutRequire],
      node16: [{ module: 'node16', skipLibCheck: true }, withoutRequire],
      bundler: [bundler, withRequire]
    }
  },
  typescript: {
    // Several threads would check some of the libraries several times.
    flags: ['--singleThreaded'],
    projects: {
      nodenext: [{ module: 'nodenext', noEmit: false }, withRequire],
      node16: [{ module: 'node16' }, withoutRequire],
      bundler: [bundler, withRequire]
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

/** The answer of servers whose database has the caller but not the contact maria. */
const contactNotFound = { success: false, error: 'error-contact-not-found' }

t.setTimeout(300_000)

t.test('the installed tarball: runs in each kind of project, and its types compile strictly', async (t) => {
  const root = await install(t, {
    consumer: [ownName, 'fastify', 'better-sqlite3', 'kysely', '@types/better-sqlite3', '@types/node', 'typescript@^7', 'typescript-5.5@npm:typescript@~5.5'],
    readme: [...packagesFor('Node.js 22'), ...typePackages],
    builtin: [...packagesFor('Node.js 24'), '@types/node@^24'],
    postgresql: [...installsOf(doc('postgresql').text)[0]!, ...typePackages]
  })
  const folder = join(root, 'consumer')

  await t.test('require(): returns all exports, and finds the other files', async (t) => {
    const files = ['schema.sql', 'schema.postgres.sql', 'openapi.json', 'package.json'].map((file) => `${ownName}/${file}`)
    const code = `const plugin = require('${ownName}')
      for (const file of ${JSON.stringify(files)}) require.resolve(file)
      console.log(typeof plugin.default, typeof plugin.hashToken)`
    t.equal(await run(process.execPath, ['--eval', code], folder), 'function function\n')
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

  await t.test('the compiled files: run', async (t) => {
    t.equal(await run(process.execPath, ['module.js'], folder), '200 Maria Silva\n')
    t.equal(await run(process.execPath, ['import.cjs'], folder), 'ready\n')
    t.equal(await run(process.execPath, ['require.cjs'], folder), 'ready\n')
  })

  const tsc = join(folder, 'node_modules/typescript/lib/tsc.js')
  const project: Project = { folder: join(root, 'readme'), tsc }
  const answers: Record<string, object> = { 'docs/command-line.md': contactNotFound }
  cpSync('test/fixtures/export', join(project.folder, 'export'), { recursive: true })
  const languages = new Set([readme, ...docs].flatMap(({ blocks }) => blocks.map(({ language }) => language)))
  t.strictSame(languages, new Set(['js', 'sh', 'json', 'sql', 'ts']), 'blocks of each language are run: SQL in database.test.ts, all others here')
  const docsWithPrograms = docs.filter(({ path, blocks }) => path !== 'docs/postgresql.md' && blocks.some(({ language }) => language !== 'sql'))
  for (const page of [readme, ...docsWithPrograms]) {
    await t.test(`${page.path}: every snippet runs after the README's Install`, async (t) => {
      await runPage(t, page, { ...project, ...page.path in answers && { answer: answers[page.path]! } })
    })
  }

  await t.test('strict TypeScript with node:sqlite: without better-sqlite3 and its types', async (t) => {
    const builtin = join(root, 'builtin')
    for (const name of ['better-sqlite3', '@types/better-sqlite3']) t.throws(() => versionOf(name, builtin))
    writeFileSync(join(builtin, 'node-sqlite.ts'), nodeSqliteProgram)
    for (const compilerOptions of [{ module: 'nodenext' }, bundler]) {
      writeFileSync(join(builtin, 'strict.json'), JSON.stringify({ compilerOptions: { ...strict, ...compilerOptions }, files: ['node-sqlite.ts'] }))
      t.equal(await run(process.execPath, [tsc, '--project', 'strict.json'], builtin), '')
    }
  })

  await t.test('README.md: the server with node:sqlite runs without better-sqlite3', { skip }, async (t) => {
    const [, line] = /`(import \{ DatabaseSync as Database \} from 'node:sqlite')`/.exec(readme.text)!
    const server = readme.blocks.find(({ text }) => text.includes('app.listen'))!
    const blocks = [{ ...server, text: server.text.replace(/^.*\n/, `${line}\n`) }]
    await runPage(t, { ...readme, path: 'builtin', blocks }, { folder: join(root, 'builtin'), tsc })
  })

  await t.test('docs/postgresql.md: every snippet runs after its own install line', { skip: !isAvailable }, async (t) => {
    const { url, close } = await openSchema()
    t.teardown(close)
    await runPage(t, doc('postgresql'), { folder: join(root, 'postgresql'), tsc, env: { DATABASE_URL: url }, answer: contactNotFound })
  })
})
