// The plugin's own parsers, hooks, route and replies with no database behind them: each question is asked once, and
// from then on answered with what was remembered.

import type Database from 'better-sqlite3'
import type { FastifyInstance } from 'fastify'
import type { Settings } from '../../src/options.js'
import type { Store } from '../../src/store/store.js'
import type { Dist } from './dist.js'

export function addCeiling (app: FastifyInstance, dist: Dist, database: Database.Database): void {
  const { read, update, ...store } = dist.store.sqliteStore(database)
  const remembering: Store = { ...store, read: remember(read) as Store['read'], update: remember(update) as Store['update'] }
  const settings = { prefix: '/api/v1', lockTimeout: 5000, bodyLimit: 256 * 1024, idempotencyWindow: 86_400_000 } as Settings

  dist.body.addBodyParsers(app)
  dist.route.addRoute(app, remembering, settings)
}

function remember (ask: unknown): unknown {
  let answer: unknown
  return (...asked: unknown[]) => (answer ??= (ask as (...asked: unknown[]) => unknown)(...asked))
}
