// GET /metrics for Prometheus. Its metrics of updates come from the plugin's diagnostics channels, so every host can have the same.

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { statSync } from 'node:fs'
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import { DatabaseBusyError, type CommitMessage, type UpdateMessage } from '../../index.js'
import { isFileHandle, type Handle } from '../shared.js'

const updatePath = '/api/v1/omnichannel/contacts.update'

// Buckets of histograms, in seconds and in updates.
const bucketsFrom100Microseconds = [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5]
const bucketsFrom1Millisecond = bucketsFrom100Microseconds.filter((seconds) => seconds >= 0.001).concat(10)
const batchSizes = [1, 2, 5, 10, 20, 50, 100, 200, 500]

type OutcomeCallback = (outcome: string) => void
type MetricMaker = ReturnType<typeof createMetricMaker>

function createMetricMaker (register: Registry) {
  const registers = [register]
  return {
    counter: <Label extends string>(name: string, help: string, ...labelNames: Label[]) => new Counter({ name, help, labelNames, registers }),
    histogram: (name: string, help: string, buckets: number[]) => new Histogram({ name, help, buckets, registers }),
    /** @param collect sets the gauge when Prometheus asks */
    gauge: <Label extends string>(name: string, help: string, collect: (gauge: Gauge<Label>) => void, ...labelNames: Label[]) =>
      new Gauge({ name, help, labelNames, registers, collect () { collect(this) } })
  }
}

/** Call it before other hooks are added, so that their refusals are counted too. */
export function addMetrics (app: FastifyInstance, handle: Handle): void {
  const register = new Registry()
  const make = createMetricMaker(register)
  collectDefaultMetrics({ register })
  measureDatabase(handle, make)
  const whenUpdateEnded = measureUpdates(app, make)
  const requests = make.counter('omnichannel_requests_total',
    'Requests that are over, by status (none: the client was gone) and by outcome of the update (none: no update was begun).', 'status', 'outcome')
  const duration = make.histogram('omnichannel_request_duration_seconds',
    'From the headers of a request to the end of its answer.', bucketsFrom1Millisecond)
  const busy = make.counter('omnichannel_busy_total', 'Requests that were answered with 503, by what was in the way.', 'obstacle')
  app.get('/metrics', { schema: { hide: true } }, async (_request, reply) => await reply.type(register.contentType).send(await register.metrics()))

  app.addHook('onRequest', (request, reply, done) => {
    const count: OutcomeCallback = (outcome) => {
      requests.inc({ status: reply.raw.headersSent ? reply.raw.statusCode : 'none', outcome })
      duration.observe(reply.elapsedTime / 1000)
    }
    // A request counts when both its reply and its update have ended. After a timeout, the update can end later.
    if (request.routeOptions.url === updatePath) onReplyOver(reply, () => { whenUpdateEnded(request, count) })
    done()
  })
  // Counted here and not in a channel, because the look-up of a caller can meet a busy database, too.
  app.addHook('onError', (_request, _reply, error, done) => {
    if (error instanceof DatabaseBusyError) busy.inc({ obstacle: error.obstacle as string })
    done()
  })
}

/** Calls back when a reply was sent, or its client has gone. Fastify calls no onResponse if the client has gone. */
function onReplyOver ({ raw, request: { raw: { socket } } }: FastifyReply, callback: () => void): void {
  let isOver = false
  const end = (): void => {
    // If the socket closes, both events are emitted.
    if (isOver) return
    isOver = true
    raw.off('close', end)
    socket.off('close', end)
    callback()
  }
  raw.on('close', end)
  // A pipelined reply emits no `close` when its connection closes. Many may wait.
  socket.setMaxListeners(0).on('close', end)
}

/**
 * Measures the updates of this server. Other servers in the process use the same channels, and are not counted. The returned function
 * calls back with the outcome when the update of a request has ended. If there is no update, it calls back at once with `none`.
 */
function measureUpdates (app: FastifyInstance, make: MetricMaker): (request: FastifyRequest, callback: OutcomeCallback) => void {
  const messages = new WeakMap<FastifyRequest, UpdateMessage>()
  const running = new Map<unknown, OutcomeCallback>()
  let startingRequest: FastifyRequest | undefined

  make.gauge('omnichannel_queue_length', 'Updates that wait for the database or are under way.', (gauge) => { gauge.set(running.size) })
  const wait = make.histogram('omnichannel_update_wait_seconds', 'Until the last attempt of an update began.', bucketsFrom1Millisecond)
  const retries = make.counter('omnichannel_update_retries_total', 'Transactions that were begun again for an update.')
  const patterns = make.counter('omnichannel_unanswered_patterns_total', 'Patterns of custom fields that could not be checked.')
  const commitDuration = make.histogram('omnichannel_commit_duration_seconds', 'Of a COMMIT that wrote updates.', bucketsFrom100Microseconds)
  const commitUpdates = make.histogram('omnichannel_commit_updates', 'Updates that a COMMIT wrote.', batchSizes)

  app.addHook('preHandler', (request, _reply, done) => {
    startingRequest = request
    // `done` runs the handler until its first `await`. The handler publishes `start` in that time.
    done()
    startingRequest = undefined
  })
  const listeners: Record<string, (message: unknown) => void> = {
    'tracing:fastify-omnichannel-contacts:update:start': (message) => {
      if (startingRequest === undefined) return
      messages.set(startingRequest, message as UpdateMessage)
      running.set(message, () => undefined)
    },
    'tracing:fastify-omnichannel-contacts:update:asyncEnd': (message) => {
      const callback = running.get(message)
      if (callback === undefined) return
      running.delete(message)
      const { waitedMs, attempts, unansweredPatterns, outcome } = message as UpdateMessage & { outcome: string }
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

  return (request, callback) => {
    const message = messages.get(request)
    if (running.has(message)) running.set(message, callback)
    else callback(message?.outcome ?? 'none')
  }
}

function measureDatabase (handle: Handle, make: MetricMaker): void {
  if (isFileHandle(handle)) {
    const { file } = handle.prepare('PRAGMA database_list').get() as { file: string }
    make.gauge('omnichannel_wal_size_bytes',
      'Size of the write-ahead log. It keeps its size, up to 41 MB, when SQLite writes it from the start again.',
      (gauge) => { gauge.set(statSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0) })
  } else {
    make.gauge('omnichannel_pool_clients', 'Clients of the pool, by state.', (gauge) => {
      gauge.set({ state: 'idle' }, handle.idleCount)
      gauge.set({ state: 'in use' }, handle.totalCount - handle.idleCount)
    }, 'state')
    make.gauge('omnichannel_pool_waiting', 'Requests that wait for a client of the pool.', (gauge) => { gauge.set(handle.waitingCount) })
  }
}
