import { InvalidArgumentError, Option, type Command } from 'commander'
import { statSync } from 'node:fs'
import { isIP } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { wholeNumber, type Io, type Opened } from '../command.js'
import { CommandError } from '../errors.js'
import { createOption, databaseOption, withNewDatabase } from '../database.js'
import { print } from '../output.js'
import { demoCurl, demoUser, fillDemo, issueDemoToken } from './demo.js'
import { checkWritable } from './health.js'

interface Options {
  database: string
  create?: boolean
  host: string
  port: number
  logLevel?: string
  rateLimit: number
  maxConnections: number
  trustProxy?: string[]
  demo?: boolean
}

const grace = 8000 // ms
const patience = 1000 // ms
const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']

const description = `Serve the endpoint, GET /health and a documentation page from a database file or a server.

A file is created where there is none. The log goes to stderr. SIGTERM and SIGINT (Ctrl-C) answer what waits, close the \
database and end with exit code 0. A --rate-limit counts bad tokens too; Rocket.Chat's own is 10.

What is served is plain HTTP, and tokens are readable on the way: for TLS put a reverse proxy such as nginx or Caddy in front, \
and give --trust-proxy, so that --rate-limit and the log see callers and not the proxy.`

export function serve (parent: Command, io: Io): void {
  parent.command('serve')
    .summary('Serve the endpoint, GET /health and a documentation page from a database file')
    .description(description)
    .addOption(databaseOption())
    .addOption(createOption())
    .addOption(new Option('--host <ADDRESS>', 'where to listen; 0.0.0.0 for everywhere').env('OMNICHANNEL_HOST').default('127.0.0.1'))
    .addOption(new Option('--port <PORT>', 'where to listen; 0 for any free one').env('OMNICHANNEL_PORT').default(3000)
      .argParser(wholeNumber(0, 65535)))
    .addOption(new Option('--log-level <LEVEL>', 'what is logged; info if not given, warn for a demo').env('OMNICHANNEL_LOG_LEVEL')
      .choices(logLevels))
    .addOption(new Option('--rate-limit <CALLS>', 'calls of one address in a minute, but for /health; 0 for no limit').env('OMNICHANNEL_RATE_LIMIT').default(0)
      .argParser(wholeNumber(0)))
    .addOption(new Option('--max-connections <NUMBER>', 'connections at once, more are closed; 0 for no limit').env('OMNICHANNEL_MAX_CONNECTIONS')
      .default(2000).argParser(wholeNumber(0)))
    .addOption(new Option('--trust-proxy [ADDRESSES]', 'believe the X-Forwarded-For of reverse proxies: of this machine, or of these addresses')
      .env('OMNICHANNEL_TRUST_PROXY').preset('loopback').argParser(readProxies))
    .option('--demo', 'fill an empty omnichannel-demo.db with a demo contact and print the curl that updates it')
    .action(async (options: Options, command: Command) => {
      const isNamed = command.getOptionValueSource('database') === 'cli'
      const file = options.demo && !isNamed ? 'omnichannel-demo.db' : options.database
      const stop = listenForStop(io)
      try {
        await withNewDatabase(file, io, (_db, opened) => serveUntil(stop.signalled, options, opened, io), options)
      } finally {
        stop.forget()
        // Of the log there may be more than its reader ever takes.
        setTimeout(() => io.exit?.(), patience).unref()
      }
    })
}

async function serveUntil (
  signalled: Promise<void>, options: Options, { name, db, handle, ask }: Opened, io: Io
): Promise<void> {
  const { demo, host, port, rateLimit, maxConnections, trustProxy = [] } = options
  const logLevel = options.logLevel ?? (demo ? 'warn' : 'info')
  if ('pragma' in handle) checkWritable(handle)
  if (demo) await fillDemo(db, name)
  const { createServer } = await import('./server.js')
  const app = await createServer({ handle, ask }, { logLevel, rateLimit, maxConnections, trustProxy }, io)
  if ('pragma' in handle) warnOfReaders(app, name)
  try {
    const url = await listen(app, host, port)
    // Only now: a demo that finds its port taken leaves the token of the running one alone.
    const how = demo ? describeDemo(url, await issueDemoToken(db)) : []
    print(io, [`Serving ${name} at ${url}`, `Documentation: ${url}/documentation`, ...how].map((line) => `${line}\n`).join(''))
    await signalled
  } finally {
    await close(app)
  }
}

/**
 * Reads the addresses whose X-Forwarded-For is believed, as Fastify's trustProxy takes them. Not the number of proxies: a client that
 * reaches the server past them could then name any address.
 */
function readProxies (text: string): string[] {
  const proxies = text.split(',').map((proxy) => proxy.trim())
  if (!proxies.every(isProxy)) throw new InvalidArgumentError('It must be addresses, as in 10.0.0.1,10.1.0.0/16, or loopback or uniquelocal')
  return proxies
}

function isProxy (proxy: string): boolean {
  const [address = '', bits = '0', ...more] = proxy.split('/')
  const version = isIP(address)
  const isAddress = version !== 0 && more.length === 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128)
  return isAddress || ['loopback', 'linklocal', 'uniquelocal'].includes(proxy)
}

function warnOfReaders (app: FastifyInstance, file: string): void {
  const { mode } = statSync(file, { throwIfNoEntry: false }) ?? { mode: 0 }
  if (process.platform === 'win32' || (mode & 0o077) === 0) return
  app.log.warn({ file }, 'the database file can be read by other users of this machine: chmod 600 takes that away')
}

function describeDemo (url: string, token: string): string[] {
  return [
    '', 'This updates the demo contact:', '', demoCurl(url, token), '',
    `So does "Try it out" on the documentation page, after "Authorize" there with the userId ${demoUser} and this authToken:`, '', token, ''
  ]
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

async function close (app: FastifyInstance): Promise<void> {
  // Somebody who never finishes a request must not keep the server from ending.
  const timer = setTimeout(app.server.closeAllConnections.bind(app.server), grace)
  await app.close()
  clearTimeout(timer)
}
