// No message shows the password of a server, in any notation and at any place of the command line.

import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { cli } from './run-cli.js'

const misspelt = {
  code: 2, out: '', err: 'A server must be written as postgres://user@host/name, and / ? # @ in a password as %2F %3F %23 %40\n'
}

/** PostgreSQL's ErrorResponse: each field is a letter and a text. */
const fields = ['SFATAL', 'C28P01', 'Mthe password is wrong', ''].map((field) => `${field}\0`).join('')
const errorResponse = Buffer.concat([Buffer.from('E\0\0\0'), Buffer.from([fields.length + 4]), Buffer.from(fields)])
/** A server that refuses all clients, so that commands end at once. */
const refusingServer = createServer((socket) => { socket.on('error', () => undefined).once('data', () => socket.end(errorResponse)) })
refusingServer.listen(0, 'localhost')
await once(refusingServer, 'listening')
t.teardown(() => { refusingServer.close() })
const { port } = refusingServer.address() as AddressInfo
/** Writes the port of the server instead of 1, which stands in the scenarios. */
const withPort = (url: string): string => url.replace('localhost:1/', `localhost:${port}/`)

/** The output of a command for a server that was understood, with the name of the server in the message. */
const refused = (name: string, reason = 'the password is wrong') =>
  ({ code: 1, out: '', err: `The database ${withPort(name)} cannot be used: ${reason}\n` })

const scenarios = ([
  ['postgres://ann:s3cret@localhost:1/a', refused('postgres://ann@localhost:1/a')],
  ['POSTGRES://ann:s3cret@localhost:1/a', refused('POSTGRES://ann@localhost:1/a')],
  ['pg://ann:s3cret@localhost:1/a', refused('pg://ann@localhost:1/a')],
  [' postgres://ann:s3cret@localhost:1/a ', refused('postgres://ann@localhost:1/a')],
  ['postgres://:s3cret@localhost:1/a', refused('postgres://@localhost:1/a')],
  ['postgres://ann:x@s3cret@localhost:1/a', refused('postgres://ann@localhost:1/a')],
  ['postgres://ann:x s3cret y@localhost:1/a', refused('postgres://ann@localhost:1/a')],
  ['postgres://ann:x\ns3cret@localhost:1/a', refused('postgres://ann@localhost:1/a')],
  ["postgres://ann:s3cret'. X@localhost:1/a", refused('postgres://ann@localhost:1/a')],
  ['postgres://ann:%zzs3cret@localhost:1/a', refused('postgres://ann@localhost:1/a')],
  ['postgres://ann:%E0s3cret@localhost:1/a', refused('postgres://ann@localhost:1/a', 'URI malformed')],
  ['postgres://ann:s3cret@localhost:99999/a', refused('postgres://ann@localhost:99999/a', 'Invalid URL')],
  ['postgres://localhost:1/a?user=ann&password=s3cret', refused('postgres://localhost:1/a?user=ann&password=***')],
  ['postgres://localhost:1/a?password=x s3cret', refused('postgres://localhost:1/a?password=***')],
  ['postgres://localhost:1/a?%70assword=s3cret&user=ann', refused('postgres://localhost:1/a?%70assword=***&user=ann')],
  ['postgres:/ann:s3cret@localhost/a', misspelt],
  ['postgres:ann:s3cret@localhost/a', misspelt],
  ['postgres://ann:s3cret#x@localhost/a', misspelt],
  ['postgres://ann:12?s3cret@localhost/a', misspelt],
  ['postgres://ann:12/s3cret@localhost/a', misspelt],
  ['postgres://ann:s3cret/a', misspelt],
  ['host=localhost user=ann password=s3cret', misspelt],
  ["password = 's3cret x' host=localhost", misspelt],
  ['//ann:s3cret@localhost/a', misspelt],
  ['mysql://ann:s3cret@localhost/a', misspelt],
  ['postgres+ssl://ann:s3cret@localhost/a', misspelt],
  ['jdbc:postgresql://localhost/a?user=ann&password=s3cret', misspelt]
] satisfies Array<[server: string, output: object]>).map(([server, output]) => ({ server: withPort(server), output }))

t.test('--database, and the variable: the message has the server without its password', async (t) => {
  for (const { server, output } of scenarios) {
    t.match(await cli(['user', 'list', '--database', server]), output, server)
    t.match(await cli(['user', 'list', `--database=${server}`]), output, server)
    t.match(await cli(['user', 'list'], { env: { OMNICHANNEL_DATABASE: server } }), output, server)
  }
})

t.test('a socket, or an IPv6 address: the message has the server without its password', async (t) => {
  const shownNames = {
    'socket:/nowhere?db=a&user=ann&password=s3cret': 'socket:/nowhere?db=a&user=ann&password=***',
    'socket://ann:s3cret@/nowhere?db=a': 'socket://ann@/nowhere?db=a',
    'postgres://ann:s3cret@[::1]:1/a': 'postgres://ann@[::1]:1/a'
  }
  const check = async (server: string, shownName: string, argv: string[]): Promise<void> => {
    const { code, err } = await cli(['user', ...argv, '--database', server])
    t.equal(code, 1)
    t.ok(err.startsWith(`The database ${shownName} cannot be used: connect E`), err)
  }
  await Promise.all(Object.entries(shownNames).flatMap(([server, shownName]) =>
    [['list'], ['add', 'ann']].map(async (argv) => { await check(server, shownName, argv) })))
})

t.test('any other place of the command line: no password in the output', async (t) => {
  const folder = t.testdir({ 'a.jsonl': '' })
  const file = join(folder, 'a.db')
  await cli(['user', 'add', 'ann', '--role', 'admin', '--database', file])
  const places: Array<(server: string) => string[]> = [
    (server) => [server],
    (server) => ['user', server],
    (server) => ['user', 'list', server],
    (server) => ['copy', server, 'postgres://localhost:1/a'],
    (server) => ['copy', file, server],
    (server) => ['backup', server, '--database', file],
    (server) => ['backup', join(folder, 'copy.db'), '--database', server],
    (server) => ['import', '--contacts', join(folder, 'a.jsonl'), '--database', server],
    (server) => ['import', '--contacts', server, '--database', file],
    (server) => ['import', '--folder', server],
    (server) => ['contact', 'list', '--limit', server],
    (server) => ['contact', 'list', `--limit=${server}`],
    (server) => ['token', 'create', 'ann', '--expires', server]
  ]
  for (const place of places) {
    for (const { server } of scenarios) {
      const { code, out, err } = await cli(place(server))
      t.not(code, 0)
      t.notMatch(out + err, 's3cret', place(server).join(' '))
    }
  }
  t.strictSame(readdirSync(folder).sort(), ['a.db', 'a.jsonl'])
})

t.test('a server that does not answer: one sentence after five seconds', async (t) => {
  const silent = createServer().listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.teardown(() => { silent.close() })
  const server = `postgres://ann:s3cret@127.0.0.1:${(silent.address() as AddressInfo).port}/a`
  for (const argv of [['user', 'list'], ['user', 'add', 'ann']]) t.strictSame(await cli([...argv, '--database', server]),
    { code: 1, out: '', err: `The database ${server.replace(':s3cret', '')} cannot be used: it does not answer in time\n` })
})
