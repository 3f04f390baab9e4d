// GET /metrics for Prometheus. Its metrics of updates come from the plugin's diagnostics channels, so every host can have the same.

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { statSync } from 'node:fs'
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import { DatabaseBusyError, type CommitMessage, type UpdateMessage } from '../../index.js'
import type { OpenDatabase } from '../command.js'

const url = '/api/v1/omnichannel/contacts.update'

type Handle = OpenDatabase['handle']
type Ended = UpdateMessage & { outcome: string }

const secondsFrom100Microseconds = [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5]
const secondsFrom1Millisecond = secondsFrom100Microseconds.filter((seconds) => seconds >= 0.001).concat(10)
const sizes = [1, 2, 5, 10, 20, 50, 100, 200, 500]

/** Must be called before other hooks are added, so that their refusals are counted too. */
export function addMetrics (app: FastifyInstance, handle: Handle): void {
  const register = new Registry()
  collectDefaultMetrics({ register })
  measureDatabase(handle, register)
  const updates = measureUpdates(app, register)
  const requests = new Counter({
    name: 'omnichannel_requests_total',
    help: 'Requests that are over, by status (none: the client was gone) and by outcome of the update (none: no update was begun).',
    labelNames: ['status', 'outcome'],
    registers: [register]
  })
  const duration = new Histogram({
    name: 'omnichannel_request_duration_seconds', help: 'From the headers of a request to the end of its answer.', buckets: secondsFrom1Millisecond, registers: [register]
  })
  const busy = new Counter({
    name: 'omnichannel_busy_total', help: 'Requests that were answered with 503, by what was in the way.', labelNames: ['obstacle'], registers: [register]
  })
  app.get('/metrics', { schema: { hide: true } }, async (_request, reply) => await reply.type(register.contentType).send(await register.metrics()))

  app.addHook('onRequest', (request, reply, done) => {
    const count = (outcome: string): void => {
      requests.inc({ status: reply.raw.headersSent ? reply.raw.statusCode : 'none', outcome })
      duration.observe(reply.elapsedTime / 1000)
    }
    if (request.routeOptions.url === url) whenOver(reply, () => { updates.whenEnded(request, count) })
    done()
  })
  app.addHook('preHandler', (request, _reply, done) => { updates.enter(request, done) })
  // Not from the channel: the look-up of a caller can meet a busy database, too.
  app.addHook('onError', (_request, _reply, error, done) => {
    if (error instanceof DatabaseBusyError) busy.inc({ obstacle: error.obstacle as string })
    done()
  })
}

/** Calls back when a reply was sent, or its client has gone. Fastify calls no onResponse for the latter. */
function whenOver ({ raw, request: { raw: { socket } } }: FastifyReply, callback: () => void): void {
  const end = (): void => {
    raw.off('close', end)
    socket.off('close', end)
    callback()
  }
  raw.on('close', end)
  // A pipelined reply does not notice that its connection has closed. Many may wait.
  socket.setMaxListeners(0).on('close', end)
}

interface Updates {
  /** Calls the handler of a request. */
  enter: (request: FastifyRequest, handle: () => void) => void
  /** Calls back with the outcome of a request's update, or `none`, now or when the update has ended. */
  whenEnded: (request: FastifyRequest, callback: Callback) => void
}

type Callback = (outcome: string) => void

/** Counts the updates of the requests that enter. Other servers in the process use the same channels, and are not counted. */
function measureUpdates (app: FastifyInstance, register: Registry): Updates {
  const messages = new WeakMap<FastifyRequest, UpdateMessage>()
  const queue = new Map<unknown, Callback>()
  let entering: FastifyRequest | undefined
  const registers = [register]

  const queueLength = new Gauge({
    name: 'omnichannel_queue_length', help: 'Updates that wait for the database or are under way.', registers, collect: () => { queueLength.set(queue.size) }
  })
  const wait = new Histogram({
    name: 'omnichannel_update_wait_seconds', help: 'Until the last attempt of an update began.', buckets: secondsFrom1Millisecond, registers
  })
  const retries = new Counter({ name: 'omnichannel_update_retries_total', help: 'Transactions that were begun again for an update.', registers })
  const patterns = new Counter({
    name: 'omnichannel_unanswered_patterns_total', help: 'Patterns of custom fields that could not be checked.', registers
  })
  const commitDuration = new Histogram({
    name: 'omnichannel_commit_duration_seconds', help: 'Of a COMMIT that wrote updates.', buckets: secondsFrom100Microseconds, registers
  })
  const commitUpdates = new Histogram({ name: 'omnichannel_commit_updates', help: 'Updates that a COMMIT wrote.', buckets: sizes, registers })

  const listeners: Record<string, (message: unknown) => void> = {
    // It is published before the handler first waits.
    'tracing:fastify-omnichannel-contacts:update:start': (message) => {
      if (entering === undefined) return
      messages.set(entering, message as UpdateMessage)
      queue.set(message, () => undefined)
    },
    'tracing:fastify-omnichannel-contacts:update:asyncEnd': (message) => {
      const callback = queue.get(message)
      if (callback === undefined) return
      queue.delete(message)
      const { waitedMs, attempts, unansweredPatterns, outcome } = message as Ended
      callback(outcome)
      wait.observe(waitedMs / 1000)
      retries.inc(Math.max(attempts - 1, 0))
      patterns.inc(unansweredPatterns)
    },
    'fastify-omnichannel-contacts:commit': (message) => {
      const { durationMs, updates } = message as CommitMessage
      commitDuration.observe(durationMs / 1000)
      commitUpdates.observe(updates)
    }
  }
  for (const [name, listener] of Object.entries(listeners)) subscribe(name, listener)
  app.addHook('onClose', (_app, done) => {
    for (const [name, listener] of Object.entries(listeners)) unsubscribe(name, listener)
    done()
  })

  return {
    enter: (request, handle) => {
      entering = request
      handle()
      entering = undefined
    },
    whenEnded: (request, callback) => {
      const message = messages.get(request)
      if (queue.has(message)) queue.set(message, callback)
      else callback(message?.outcome ?? 'none')
    }
  }
}

function measureDatabase (handle: Handle, register: Registry): void {
  const registers = [register]
  if ('pragma' in handle) {
    const [{ file }] = handle.pragma('database_list') as [{ file: string }]
    const size = new Gauge({
      name: 'omnichannel_wal_size_bytes',
      help: 'Size of the write-ahead log. It keeps its size, up to 41 MB, when SQLite writes it from the start again.',
      registers,
      collect: () => { size.set(statSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0) }
    })
  } else {
    const clients = new Gauge({
      name: 'omnichannel_pool_clients',
      help: 'Clients of the pool, by state.',
      labelNames: ['state'],
      registers,
      collect: () => {
        clients.set({ state: 'idle' }, handle.idleCount)
        clients.set({ state: 'in use' }, handle.totalCount - handle.idleCount)
      }
    })
    const waiting = new Gauge({
      name: 'omnichannel_pool_waiting', help: 'Requests that wait for a client of the pool.', registers, collect: () => { waiting.set(handle.waitingCount) }
    })
  }
}
