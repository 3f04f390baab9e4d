import type { FastifyInstance } from 'fastify'
import type { Writable } from 'node:stream'
import { wholeNumber, type Command, type Io } from '../command.js'
import { CommandError, UsageError } from '../errors.js'
import { databaseOption, openDatabase } from '../open-database.js'
import { demoCurl, fillDemo, issueDemoToken } from './demo.js'
import { createServer } from './server.js'

const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']

export const serve: Command = {
  name: 'serve',
  summary: 'Serve the endpoint, GET /health and a documentation page from a database file',
  details: 'The database is created where there is none. The log goes to stderr. SIGTERM and SIGINT (Ctrl-C) answer what\n' +
    'waits, close the database and end with exit code 0. A --rate-limit counts bad tokens too; Rocket.Chat\'s own is 10.',
  options: {
    database: databaseOption,
    host: { value: 'ADDRESS', help: 'where to listen; 0.0.0.0 for everywhere', env: 'OMNICHANNEL_HOST', default: '127.0.0.1' },
    port: { value: 'PORT', help: 'where to listen; 0 for any free one', env: 'OMNICHANNEL_PORT', default: '3000' },
    'log-level': { value: 'LEVEL', help: `one of ${logLevels.join(', ')}`, env: 'OMNICHANNEL_LOG_LEVEL', default: 'info' },
    'rate-limit': {
      value: 'CALLS',
      help: 'calls of one address in a minute; 0 for no limit',
      env: 'OMNICHANNEL_RATE_LIMIT',
      default: '0'
    },
    demo: { help: 'fill an empty omnichannel-demo.db with a demo contact and print the curl that updates it' }
  },
  run: async (given, io) => {
    const demo = given.has('demo')
    const file = demo && !given.has('database') ? 'omnichannel-demo.db' : given.text('database') as string
    const host = given.text('host') as string
    const port = wholeNumber(given, 'port', 0, 65535)
    const logLevel = given.text('log-level') as string
    if (!logLevels.includes(logLevel)) throw new UsageError(`--log-level must be one of ${logLevels.join(', ')}, and is '${logLevel}'`)
    const rateLimit = wholeNumber(given, 'rate-limit', 0, Number.MAX_SAFE_INTEGER)

    const stop = listenForStop(io)
    const database = await openDatabase(file, io)
    try {
      if (demo) fillDemo(database, file)
      const app = await createServer(database, { logLevel, rateLimit }, io)
      try {
        const url = await listen(app, host, port)
        write(io.stdout, `Serving ${file} at ${url}`, `Documentation: ${url}/documentation`)
        // Only now: a demo that finds its port taken leaves the token of the running one alone.
        if (demo) write(io.stdout, '', 'This updates the demo contact:', '', demoCurl(url, issueDemoToken(database)), '')
        await stop.signalled
      } finally {
        await close(app)
      }
    } finally {
      database.close()
      stop.forget()
    }
  }
}

function listenForStop (io: Io): { signalled: Promise<void>, forget: () => void } {
  let stop!: () => void
  const signalled = new Promise<void>((resolve) => { stop = resolve })
  // A repeated signal changes nothing: npm passes on the Ctrl-C that the terminal has sent already.
  io.on('SIGINT', stop)
  io.on('SIGTERM', stop)
  return { signalled, forget: () => { io.off('SIGINT', stop); io.off('SIGTERM', stop) } }
}

async function listen (app: FastifyInstance, host: string, port: number): Promise<string> {
  try {
    return await app.listen({ host, port })
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'EADDRINUSE') throw new CommandError(`Port ${port} of ${host} is taken: choose another with --port`)
    throw new CommandError(`Cannot listen on port ${port} of ${host}: ${message}`)
  }
}

const grace = 8000 // ms

async function close (app: FastifyInstance): Promise<void> {
  // A connection that is answered now would be kept alive for the next request.
  const tidying = setInterval(app.server.closeIdleConnections.bind(app.server), 50)
  // Somebody who never finishes a request must not keep the server from ending.
  const patience = setTimeout(app.server.closeAllConnections.bind(app.server), grace)
  await app.close()
  clearInterval(tidying)
  clearTimeout(patience)
}

function write (to: Writable, ...lines: string[]): void {
  to.write(lines.map((line) => `${line}\n`).join(''))
}
