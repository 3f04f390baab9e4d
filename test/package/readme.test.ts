import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { isAvailable } from '../../.ci/postgres.js'
import '../children.js'
import { openSchema } from '../postgres-handle.js'

const readme = readFileSync('README.md', 'utf8')
const run = promisify(execFile)
const end = '-- the end of a snippet --'

function blocks (language: string): string[] {
  return [...readme.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms'))].map(([, text]) => text!)
}

/** As it stands, but on a database in memory and without a port, and ended when it has come to its end. */
function runnable (snippet: string): string {
  return snippet
    .replace(/new Database\('[^']*'\)/, "new Database(':memory:')")
    .replace(/await app\.listen\(.*\)/, 'await app.ready()') + '\nawait app.close()\n'
}

void t.test('every JavaScript snippet runs, and prints what its comments say', { skip: !isAvailable }, async (t) => {
  const { url, close } = await openSchema()
  t.teardown(close)
  const snippets = blocks('js')
  t.ok(snippets.length >= 2, 'the README has snippets')
  // Inside the package, so that it is found under its own name. One after the other in one process: to load Fastify takes
  // longer than any of them.
  const folder = t.testdir({
    ...Object.fromEntries(snippets.map((snippet, index) => [`${index}.mjs`, runnable(snippet)])),
    'all.mjs': snippets.map((_, index) => `await import('./${index}.mjs')\nconsole.log('${end}')\n`).join('')
  })
  const { stdout, stderr } = await run(process.execPath, [join(folder, 'all.mjs')], {
    env: { PATH: process.env['PATH'], DATABASE_URL: url }
  })
  t.equal(stderr, '')
  const outputs = stdout.split(`${end}\n`)
  for (const [index, snippet] of snippets.entries()) {
    const printed = [...snippet.matchAll(/console\.log\(.*\) \/\/ (.*)$/gm)].map(([, text]) => `${text!}\n`)
    t.equal(outputs[index], printed.join(''), snippet)
  }
  t.equal(outputs.length, snippets.length + 1, 'each came to its end')
})

void t.test('every npm script that is named exists', async (t) => {
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> }
  const named = [...readme.matchAll(/npm run ([\w:-]+)/g)].map(([, name]) => name!)
  t.ok(named.includes('demo'))
  for (const name of named) t.hasOwnProp(scripts, name)
})

void t.test('every file that is linked exists', async (t) => {
  for (const [, path] of readme.matchAll(/\]\((?!https?:|#)([^)#]+)/g)) t.ok(readFileSync(path!), path!)
})
