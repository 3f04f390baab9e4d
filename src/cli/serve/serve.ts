import { InvalidArgumentError, Option, type Command } from '@commander-js/extra-typings'
import { isIPv4, isIPv6 } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { accessFor, createOption, databaseOption, withDatabase } from '../database.js'
import { CommandError } from '../errors.js'
import { print } from '../output.js'
import { isFileHandle, onSignal, wholeNumber, type Io } from '../shared.js'
import { describeDemo, fillDemo } from './demo.js'

const logTimeoutMs = 1000
const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']

const description = `Serve the endpoint, GET /health and a documentation page from a database file or a server.

A missing file is created. The log goes to stderr. On SIGTERM and SIGINT (Ctrl-C) the server answers waiting requests, \
closes the database and ends with exit code 0. --rate-limit counts calls with bad tokens too; Rocket.Chat's own limit is 10.

The server speaks plain HTTP, so tokens can be read on the way: for TLS put a reverse proxy such as nginx or Caddy in front. \
Then give --trust-proxy, so that --rate-limit and the log see the callers and not the proxy.`

export function serve (program: Command, io: Io): void {
  program.command('serve')
    .summary('Serve the endpoint, GET /health and a documentation page from a database file')
    .description(description)
    .addOption(databaseOption())
    .addOption(createOption())
    .addOption(new Option('--host <ADDRESS>', 'the address to listen on; 0.0.0.0 for all').env('OMNICHANNEL_HOST').default('127.0.0.1'))
    .addOption(new Option('--port <PORT>', 'the port to listen on; 0 for any free one').env('OMNICHANNEL_PORT').default(3000)
      .argParser(wholeNumber(0, 65535)))
    .addOption(new Option('--log-level <LEVEL>', 'the lowest level that is logged; info by default, warn with --demo').env('OMNICHANNEL_LOG_LEVEL')
      .choices(logLevels))
    .addOption(new Option('--rate-limit <CALLS>', 'calls of one address in a minute, without /health and /metrics; 0 for no limit').env('OMNICHANNEL_RATE_LIMIT').default(0)
      .argParser(wholeNumber(0)))
    .addOption(new Option('--max-connections <NUMBER>', 'how many connections may be open, new ones are closed; 0 for no limit').env('OMNICHANNEL_MAX_CONNECTIONS')
      .default(2000).argParser(wholeNumber(0)))
    .addOption(new Option('--trust-proxy [ADDRESSES]', 'believe X-Forwarded-For from reverse proxies: on this machine, or at these addresses')
      .env('OMNICHANNEL_TRUST_PROXY').preset('loopback').argParser(readProxies))
    .addOption(new Option('--metrics [SWITCH]', 'serve GET /metrics for Prometheus, without a token: keep it from the public')
      .env('OMNICHANNEL_METRICS').choices(['on', 'off']).preset('on').default('off'))
    .option('--demo', 'fill an empty omnichannel-demo.db with a demo contact and print the curl that updates it')
    .action(async ({ demo, host, port, metrics, trustProxy = [], ...options }, command) => {
      const isNamed = command.getOptionValueSource('database') === 'cli'
      const file = demo && !isNamed ? 'omnichannel-demo.db' : options.database
      let removeListeners!: () => void
      // A repeated signal changes nothing: npm repeats the Ctrl-C that the terminal has sent already.
      const stopped = new Promise<void>((resolve) => { removeListeners = onSignal(io, () => { resolve() }) })
      try {
        await withDatabase(file, io, accessFor(options), async (database) => {
          const [{ createServer }, { checkWritable }] = await Promise.all([import('./server.js'), import('./health.js')])
          if (isFileHandle(database.handle)) checkWritable(database.handle)
          const { logLevel = demo ? 'warn' : 'info' } = options
          const app = await createServer(database, { ...options, logLevel, trustProxy, metrics: metrics === 'on' }, io)
          try {
            if (demo) await fillDemo(database)
            const url = await listen(app, host, port)
            // Only after it listens, because this replaces the token. A second demo on a taken port must leave the token of the first one valid.
            const demoLines = demo ? await describeDemo(database.db, url) : []
            print(io, [`Serving ${database.name} at ${url}`, `Documentation: ${url}/documentation`, ...demoLines].map((line) => `${line}\n`).join(''))
            await stopped
          } finally {
            // This must not reject: withDatabase would remove a new file, with all that was stored since.
            await Promise.allSettled([app.close()])
          }
        })
      } finally {
        removeListeners()
        // A log that is not read would keep the process from ending.
        setTimeout(() => io.exit?.(), logTimeoutMs).unref()
      }
    })
}

/** Refuses a number of proxies, which Fastify accepts: a client that calls the server past its proxies could then claim any address. */
function readProxies (text: string): string[] {
  return text.split(',').map((part) => {
    const proxy = part.trim()
    const [, address = '', bits = '0'] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(proxy) ?? []
    const maxBits = isIPv4(address) ? 32 : isIPv6(address) ? 128 : -1
    if (Number(bits) <= maxBits || ['loopback', 'linklocal', 'uniquelocal'].includes(proxy)) return proxy
    throw new InvalidArgumentError('It must be addresses, as in 10.0.0.1,10.1.0.0/16, or loopback or uniquelocal')
  })
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
