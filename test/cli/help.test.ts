import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { collections } from '../../src/cli/import/collections.js'
import { program } from '../helpers/built-program.js'
import { cli } from './run-cli.js'

const run = promisify(execFile)

const topLevelNames = ['serve', 'user', 'token', 'contact', 'import', 'backup', 'copy', 'migrate']
const commandsWithDatabase = [
  'serve', 'user add', 'user list', 'user deactivate', 'user activate', 'user remove', 'token create', 'token list', 'token revoke',
  'contact show', 'contact list', 'import', 'backup', 'migrate'
]

/** The names of the commands that a help text lists. */
const namesIn = (help: string) => [...help.replace(/^.*\nCommands:\n/s, '').matchAll(/^ {2}([a-z]+)/gm)].map(([, name]) => name)

t.test('--help: lists every command', async (t) => {
  for (const flag of ['--help', '-h', 'help']) {
    const { code, out, err } = await cli([flag])
    t.equal(code, 0)
    t.equal(err, '')
    t.strictSame(namesIn(out), [...topLevelNames, 'help'])
  }
})

t.test('--help of a group of commands: lists its commands', async (t) => {
  for (const group of ['user', 'token', 'contact']) {
    const names = commandsWithDatabase.map((command) => command.split(' ')).filter(([first]) => first === group).map(([, name]) => name)
    for (const argv of [[group, '--help'], ['help', group]]) {
      const { code, out, err } = await cli(argv)
      t.strictSame([code, err], [0, ''])
      t.strictSame(namesIn(out), [...names, 'help'])
    }
  }
})

t.test('COMMAND --help: names its operands, options, defaults and variables', async (t) => {
  for (const name of commandsWithDatabase) {
    const { code, out, err } = await cli([...name.split(' '), '--help'])
    t.equal(code, 0, name)
    t.equal(err, '', name)
    t.ok(out.startsWith(`Usage: fastify-omnichannel-contacts ${name} [options]`), name)
    t.match(out, '--database <FILE>', name)
    t.match(out.replace(/\s+/g, ' '), '(default: "omnichannel.db", env: OMNICHANNEL_DATABASE)', name)
    t.ok(out.split('\n').every((line) => line.length <= 100), name)
  }
  t.match((await cli(['token', '--help'])).out, /create \[options\] <USER> .*\n.*list \[options\] \[USER\] .*\n.*revoke \[options\] <USER> <NAME\|HASH>/)
})

t.test('import --help: its shell commands run as printed, also on a terminal of 80 columns', { skip: process.platform === 'win32' && 'no sh' }, async (t) => {
  const { out } = await cli(['import', '--help'])
  const indentedLines = out.split('\n').filter((line) => line.startsWith('  ')).join('\n')
  const [shellCommands = ''] = indentedLines.split('fastify-omnichannel-contacts import')
  t.ok(shellCommands.split('\n').every((line) => line.length < 80))
  // A function in place of mongoexport prints the collection and the file.
  const { stdout } = await run('sh', ['-c', `mongoexport () { echo "$4 $6"; }\n${shellCommands}`])
  t.strictSame(stdout, Object.values(collections).map((name) => `${name} export/${name}.json\n`).join(''))
})

t.test('the program itself: passes its arguments on, and ends with the exit code', async (t) => {
  t.match(await run(process.execPath, [program, '--version']), { stdout: /^\d+\.\d+\.\d+\n$/, stderr: '' })
  await t.rejects(run(process.execPath, [program, 'srve']), { code: 2, stdout: '', stderr: /^Unknown command 'srve', .*\n$/ })
})

t.test('--version: is the one of the package', async (t) => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
  t.strictSame(await cli(['--version']), { code: 0, out: `${version}\n`, err: '' })
})

t.test('--version and --help: load no server, no database and no query builder', async (t) => {
  // Prints a line for each module that is loaded.
  const folder = t.testdir({
    'trace.mjs': "import { register } from 'node:module'; register('./hooks.mjs', import.meta.url)",
    'hooks.mjs': `import { writeSync } from 'node:fs'
      export async function resolve (specifier, context, next) { writeSync(2, specifier + '\\n'); return next(specifier, context) }`
  })
  for (const argv of [['--version'], ['--help'], ['serve', '--help']]) {
    const { stderr } = await run(process.execPath, ['--import', `${folder}/trace.mjs`, program, ...argv])
    const [entry, ...imported] = stderr.split('\n')
    t.equal(entry, pathToFileURL(program).href, 'the trace works')
    t.strictSame(imported.filter((name) => /fastify$|better-sqlite3|kysely|ajv|server|\.\.\//.test(name)), [], argv.join(' '))
  }
})

t.test('a wrong command line: one sentence that names the help, and exit code 2', async (t) => {
  const scenarios: Array<[argv: string[], sentence: string]> = [
    [[], `A command is missing, one of ${topLevelNames.join(', ')}; see --help`],
    [['srve'], "Unknown command 'srve', did you mean serve?; see --help"],
    [['users', 'list'], "Unknown command 'users', did you mean user?; see --help"],
    [['start'], `Unknown command 'start', known are ${topLevelNames.join(', ')}; see --help`],
    [['user'], 'A command is missing, one of add, list, deactivate, activate, remove; see user --help'],
    [['user', 'lst'], "Unknown command 'lst', did you mean list?; see user --help"],
    [['token', 'make'], "Unknown command 'make', known are create, list, revoke; see token --help"],
    [['contact'], "Missing required argument 'ID'; see contact show --help"],
    [['backup'], "Missing required argument 'FILE'; see backup --help"],
    [['token', 'revoke', 'ann'], "Missing required argument 'NAME|HASH'; see token revoke --help"],
    [['token', 'list', 'ann', 'bob'], "Too many arguments for 'list': expected 1 argument but got 2; see token list --help"],
    [['serve', '--prot', '1'], "Unknown option '--prot', did you mean --port?; see serve --help"],
    [['user', 'list', '--verbose'], "Unknown option '--verbose'; see user list --help"],
    [['serve', '--port'], "Option '--port <PORT>' argument missing; see serve --help"],
    [['user', 'list', '--database', ' '], "Option '--database <FILE>' argument ' ' is invalid: it must not be blank; see user list --help"],
    [['contact', 'list', '--search', ''], "Option '--search <TEXT>' argument '' is invalid: it must not be blank; see contact list --help"],
    [['contact', 'list', '--limit', '0'], "Option '--limit <COUNT>' argument '0' is invalid: it must be a whole number from 1; see contact list --help"],
    [['import'], 'No file to import: name one, as in --contacts contacts.jsonl; see import --help']
  ]
  for (const [argv, sentence] of scenarios) {
    const { code, out, err } = await cli(argv)
    t.strictSame({ code, out, err }, { code: 2, out: '', err: `${sentence.replace(/\s+/g, ' ')}\n` }, argv.join(' '))
  }
})

t.test('an environment variable: used as the option is', async (t) => {
  t.match(await cli(['user', 'list'], { env: { OMNICHANNEL_DATABASE: 'none.db' } }), { code: 1, err: /database file none\.db/ })
})

t.test('an invalid or blank environment variable: one sentence that names it, and exit code 2', async (t) => {
  t.strictSame(await cli(['serve'], { env: { OMNICHANNEL_PORT: 'http' } }), {
    code: 2,
    out: '',
    err: "Option '--port <PORT>' value 'http' from env 'OMNICHANNEL_PORT' is invalid: it must be a whole number from 0 to 65535; see serve --help\n"
  })
  for (const blank of ['', ' \t']) {
    t.match(await cli(['user', 'list'], { env: { OMNICHANNEL_DATABASE: blank } }),
      { code: 2, out: '', err: /value '\s*' from env 'OMNICHANNEL_DATABASE' is invalid: it must not be blank; see user list --help\n$/ })
  }
})
