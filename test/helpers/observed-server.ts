// A test server that records the calls of the host's hooks and the lines of the log.

import { once } from 'node:events'
import { request, type ClientRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import type { ContactUpdatedEvent, OmnichannelContactsOptions } from '../../src/index.js'
import { as, build, path, type Setup, type TestServer } from './test-server.js'

export { busy, internalServerError } from './refusals.js'

/** A line of the log, as pino writes it. */
export interface Line {
  level: number
  msg: string
  reqId?: string
  customField?: string
  code?: string
  obstacle?: string
  err?: { message: string, stack: string }
}

/** pino's number of the level `info`. */
const INFO = 30

export interface Observed extends TestServer {
  /** The events with which `beforeCommit` was called. */
  eventsBeforeCommit: ContactUpdatedEvent[]
  /** The events with which `onContactUpdated` was called. */
  eventsAfterCommit: ContactUpdatedEvent[]
  /** All lines of the log. */
  lines: Line[]
  /** The lines of the log above the level `info`: warnings and errors. */
  warnings: () => Line[]
  /** The message of each of these lines, with the stacks of the error and of its causes. */
  warningTexts: () => string[]
}

export async function observe (t: Test, { beforeCommit, ...setup }: Setup = {}): Promise<Observed> {
  const eventsBeforeCommit: ContactUpdatedEvent[] = []
  const eventsAfterCommit: ContactUpdatedEvent[] = []
  const lines: Line[] = []
  const warnings = (): Line[] => lines.filter(({ level }) => level > INFO)
  const write = (line: string): void => { lines.push(JSON.parse(line) as Line) }
  const testServer = await build(t, {
    ...setup,
    server: { logger: { level: 'info', stream: { write } }, ...setup.server },
    beforeCommit: ((event, connection) => {
      eventsBeforeCommit.push(event)
      return beforeCommit?.(event, connection)
    }) satisfies OmnichannelContactsOptions['beforeCommit'],
    onContactUpdated: (event) => { eventsAfterCommit.push(event) }
  })
  return { ...testServer, eventsBeforeCommit, eventsAfterCommit, lines, warnings, warningTexts: () => warnings().map(({ msg, err }) => `${msg}: ${err?.stack}`) }
}

/** A reply that came over a socket. */
export interface Reply {
  status: number
  headers: Record<string, unknown>
  body: unknown
}

interface Sent {
  /** Destroying it ends the request early. */
  client: ClientRequest
  /** Resolves to undefined if the connection is closed without a reply. */
  reply: Promise<Reply | undefined>
}

/** Starts to listen on a free port. Returns a function that posts a body there as the agent `ann`, over a connection of its own. */
export async function listen ({ app }: TestServer): Promise<(body: unknown, headers?: object) => Sent> {
  if (!app.server.listening) await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  return (body, headers = {}) => {
    const client = request({
      host: '127.0.0.1', port, path, method: 'POST', headers: { ...as('ann'), 'content-type': 'application/json', ...headers }, agent: false
    })
    const reply = once(client, 'response').then(async ([message]) => {
      const text = (await message.toArray()).join('')
      return { status: message.statusCode, headers: message.headers, body: text === '' ? '' : JSON.parse(text) as unknown }
    }).catch(() => undefined)
    client.end(JSON.stringify(body))
    return { client, reply }
  }
}
