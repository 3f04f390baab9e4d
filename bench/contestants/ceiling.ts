// The plugin's own parsers, hooks, route and replies with no database behind them: each question is asked once, and
// from then on answered with what was remembered.

import type Database from 'better-sqlite3'
import type { FastifyInstance } from 'fastify'
import type { DatabaseAccess } from '../../src/store/sqlite/sqlite-store.js'
import type { Settings } from '../../src/options.js'
import type { Dist } from './dist.js'

export function addCeiling (app: FastifyInstance, dist: Dist, database: Database.Database): void {
  const { read, update, ...access } = dist.database.accessTo(database)
  const remembering = { ...access, read: remember(read), update: remember(update) } as DatabaseAccess
  const settings = { prefix: '/api/v1', lockTimeout: 5000, bodyLimit: 256 * 1024 } as Settings

  app.addHook('preParsing', dist.identity.authenticateHook(remembering, settings))
  app.addHook('preParsing', dist.identity.authorizeHook(remembering, settings))
  dist.body.addBodyParsers(app)
  dist.route.addRoute(app, remembering, settings)
}

type Ask = DatabaseAccess['read'] | DatabaseAccess['update']

function remember (ask: Ask): Ask {
  let answer: unknown
  return ((steps, lockTimeout) => {
    if (answer !== undefined) return ask.name === 'update' ? Promise.resolve(answer) : answer
    return Promise.resolve(ask(steps, lockTimeout)).then((first) => answer = first)
  }) as Ask
}
