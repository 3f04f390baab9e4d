import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import t from 'tap'
import { cli } from './io.js'

const run = promisify(execFile)

const names = [
  'serve', 'user add', 'user list', 'user deactivate', 'user activate', 'user remove', 'token create', 'token list', 'token revoke',
  'contact', 'import'
]

t.test('--help: lists every command', async (t) => {
  for (const flag of ['--help', '-h', 'help']) {
    const { code, out, err } = await cli([flag])
    t.equal(code, 0)
    t.equal(err, '')
    t.strictSame([...out.matchAll(/^ {2}([a-z]+(?: [a-z]+)?)/gm)].map(([, name]) => name), names)
  }
})

t.test('COMMAND --help: names its operands, options, defaults and variables', async (t) => {
  for (const name of names) {
    const { code, out, err } = await cli([...name.split(' '), '--help'])
    t.equal(code, 0, name)
    t.equal(err, '', name)
    t.ok(out.startsWith(`Usage: fastify-omnichannel-contacts ${name}`), name)
    t.match(out, '--database FILE', name)
    t.match(out, '(default omnichannel.db, env OMNICHANNEL_DATABASE)', name)
    t.ok(out.split('\n').every((line) => line.length <= 120), name)
  }
  t.match((await cli(['token', '--help'])).out, /token create USER .*\n.*token list \[USER\] .*\n.*token revoke USER NAME\|HASH/)
})

t.test('the program itself: passes its arguments on, and ends with the exit code', async (t) => {
  const program = [...process.execArgv, 'src/cli/main.ts']
  t.match(await run(process.execPath, [...program, '--version']), { stdout: /^\d+\.\d+\.\d+\n$/, stderr: '' })
  await t.rejects(run(process.execPath, [...program, 'srve']), { code: 2, stdout: '', stderr: /^Unknown command 'srve'; .*\n$/ })
})

t.test('--version: is the one of the package', async (t) => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
  t.strictSame(await cli(['--version']), { code: 0, out: `${version}\n`, err: '' })
})

t.test('a wrong command line: one sentence, and 2', async (t) => {
  const scenarios: Array<[argv: string[], sentence: string]> = [
    [[], 'A command is missing; see --help'],
    [['srve'], `Unknown command 'srve'; known are ${names.join(', ')}`],
    [['user'], `Unknown command 'user'; known are ${names.filter((name) => name.startsWith('user')).join(', ')}`],
    [['token', 'make'], "Unknown command 'token make'; known are token create, token list, token revoke"],
    [['contact'], 'ID is missing; see contact --help'],
    [['token', 'revoke', 'ann'], 'NAME|HASH is missing; see token revoke --help'],
    [['token', 'list', 'ann', 'bob'], "Unexpected argument 'bob'; see token list --help"],
    [['serve', '--prot', '1'], "Unknown option '--prot'; see serve --help"],
    [['serve', '--port'], "Option '--port <value>' argument missing; see serve --help"],
    [['import'], 'No file to import: name one, as in --contacts contacts.jsonl; see import --help']
  ]
  for (const [argv, sentence] of scenarios) {
    const { code, out, err } = await cli(argv)
    t.strictSame({ code, out, err }, { code: 2, out: '', err: `${sentence}\n` }, argv.join(' '))
  }
})
