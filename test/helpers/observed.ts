// A test server that records the calls of the host's hooks and the lines of the log.

import { once } from 'node:events'
import { request, type ClientRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import type { ContactUpdatedEvent, OmnichannelContactsOptions } from '../../src/index.js'
import { as, build, path, type Setup, type World } from './build.js'

export { busy, internal } from './refusals.js'

interface Line {
  level: number
  msg: string
  reqId?: string
  customField?: string
  err?: { message: string, stack: string }
}

export interface Observed extends World {
  /** The events with which `beforeCommit` was called. */
  called: ContactUpdatedEvent[]
  /** The events with which `onContactUpdated` was called. */
  notified: ContactUpdatedEvent[]
  lines: Line[]
  /** What was logged as a warning or an error: the message, and the stacks of the error and of its causes. */
  complaints: () => string[]
}

export async function observe (t: Test, { beforeCommit, ...setup }: Setup = {}): Promise<Observed> {
  const observed = { called: [], notified: [], lines: [] } as Pick<Observed, 'called' | 'notified' | 'lines'>
  const { called, notified, lines } = observed
  const level = 'info'
  const world = await build(t, {
    ...setup,
    server: { logger: { level, stream: { write: (line: string) => { lines.push(JSON.parse(line) as Line) } } }, ...setup.server },
    beforeCommit: ((event, connection) => {
      called.push(event)
      return beforeCommit?.(event, connection)
    }) satisfies OmnichannelContactsOptions['beforeCommit'],
    onContactUpdated: (event) => { notified.push(event) }
  })
  return {
    ...world,
    ...observed,
    complaints: () => lines.filter(({ level }) => level > 30).map(({ msg, err }) => `${msg}: ${err?.stack}`)
  }
}

/** A reply over a socket. */
export interface Reply {
  status: number
  headers: Record<string, unknown>
  body: unknown
}

interface Sent {
  sent: ClientRequest
  reply: Promise<Reply | undefined>
}

/** Sends over a socket; `reply` is undefined when the connection was closed without one. */
export async function listen ({ app }: World): Promise<(body: unknown, headers?: object) => Sent> {
  if (!app.server.listening) await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  return (body, headers = {}) => {
    const sent = request({
      host: '127.0.0.1', port, path, method: 'POST', headers: { ...as('ann'), 'content-type': 'application/json', ...headers }, agent: false
    })
    const reply = once(sent, 'response').then(async ([message]) => {
      const text = (await message.toArray()).join('')
      return { status: message.statusCode, headers: message.headers, body: text === '' ? '' : JSON.parse(text) as unknown }
    }).catch(() => undefined)
    sent.end(JSON.stringify(body))
    return { sent, reply }
  }
}
