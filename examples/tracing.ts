// OpenTelemetry spans for updates and commits, made from the plugin's diagnostics channels. A span of an update has the active span as
// its parent, for example that of the HTTP request. The spans go to the SDK that your process starts. Without an SDK they go nowhere.
//
// In an empty folder, saved as tracing.ts:
//   npm install fastify-omnichannel-contacts fastify better-sqlite3 @opentelemetry/api
//   npm install --save-dev tsx @types/better-sqlite3 @types/node
//   npx tsx tracing.ts

import { SpanKind, SpanStatusCode, trace, type Span } from '@opentelemetry/api'
import Database from 'better-sqlite3'
import fastify, { type FastifyInstance } from 'fastify'
import omnichannelContacts, { hashToken, type CommitMessage, type UpdateMessage } from 'fastify-omnichannel-contacts'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { fileURLToPath } from 'node:url'

/** Makes spans from now on. Returns a function that stops it. */
export function traceUpdates (): () => void {
  const tracer = trace.getTracer('fastify-omnichannel-contacts')
  const spans = new WeakMap<object, Span>()
  const listeners: Record<string, (message: never) => void> = {
    'tracing:fastify-omnichannel-contacts:update:start': (message: UpdateMessage) => {
      const attributes = { 'db.system.name': message.engine === 'postgres' ? 'postgresql' : 'sqlite' }
      spans.set(message, tracer.startSpan('contacts.update', { kind: SpanKind.INTERNAL, attributes }))
    },
    // Published for the answers 500 and 503. A refusal is no error of the server.
    'tracing:fastify-omnichannel-contacts:update:error': (message: UpdateMessage) => {
      spans.get(message)?.setStatus({ code: SpanStatusCode.ERROR, message: message.code ?? '' })
    },
    'tracing:fastify-omnichannel-contacts:update:asyncEnd': (message: UpdateMessage) => {
      const { waitedMs, attempts, batchSize, outcome, code, obstacle } = message
      spans.get(message)?.setAttributes({
        'omnichannel.waited_ms': waitedMs,
        'omnichannel.attempts': attempts,
        'omnichannel.batch_size': batchSize,
        'omnichannel.outcome': outcome,
        'omnichannel.code': code,
        'omnichannel.obstacle': obstacle
      }).end()
    },
    // Several updates can share a commit, so it has no parent.
    'fastify-omnichannel-contacts:commit': ({ durationMs, updates }: CommitMessage) => {
      tracer.startSpan('COMMIT', { root: true, startTime: Date.now() - durationMs, attributes: { 'omnichannel.updates': updates } }).end()
    }
  }
  for (const [name, listener] of Object.entries(listeners)) subscribe(name, listener as (message: unknown) => void)
  return () => {
    for (const [name, listener] of Object.entries(listeners)) unsubscribe(name, listener as (message: unknown) => void)
  }
}

export async function buildApp (database: Database.Database, logger = false): Promise<FastifyInstance> {
  const app = fastify({ logger })
  const stop = traceUpdates()
  app.addHook('onClose', async () => { stop() })
  await app.register(omnichannelContacts, { database })
  return app
}

export function addDemoData (database: Database.Database): void {
  database.exec(`
    INSERT OR IGNORE INTO omnichannel_user (id) VALUES ('ann');
    INSERT OR IGNORE INTO omnichannel_user_role VALUES ('ann', 'livechat-agent');
    INSERT OR IGNORE INTO omnichannel_auth_token (hashed_token, user_id) VALUES ('${hashToken('s3cret')}', 'ann');
    INSERT OR IGNORE INTO omnichannel_contact (id, name) VALUES ('maria', 'Maria');
  `)
}

async function serve (): Promise<void> {
  const database = new Database('tracing.db')
  database.pragma('journal_mode = WAL')
  const app = await buildApp(database, true)
  addDemoData(database)
  const address = await app.listen({ port: Number(process.env.PORT ?? 3000) })
  console.log(`Rename Maria, which makes two spans:
  curl -i -H 'X-User-Id: ann' -H 'X-Auth-Token: s3cret' -H 'Content-Type: application/json' -d '{"contactId":"maria","name":"Maria Silva"}' '${address}/api/v1/omnichannel/contacts.update'`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) void serve()
