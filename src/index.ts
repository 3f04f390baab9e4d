import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { addBodyParsers } from './http/body.js'
import { authenticateHook, authorizeHook } from './http/identity.js'
import { addRoute } from './http/route.js'
import { checkOptions, type OmnichannelContactsOptions } from './options.js'
import { openStore } from './store/open-store.js'

/**
 * Registers `POST <prefix>/omnichannel/contacts.update`.
 *
 * @example
 * ```ts
 * const app = fastify()
 * await app.register(omnichannelContacts, { database: new Database('contacts.db') })
 * ```
 */
const plugin: FastifyPluginAsync<OmnichannelContactsOptions> = async (app, options) => {
  const settings = checkOptions(options)

  const store = openStore(settings.database, (error) => { app.log.error({ err: error }, 'a connection to the database was lost') })
  await store.migrate(settings)

  app.addHook('preParsing', authenticateHook(store, settings))
  app.addHook('preParsing', authorizeHook(store, settings))
  app.addHook('onClose', async () => { await store.settled() })

  addBodyParsers(app)
  addRoute(app, store, settings)
}

export default fp(plugin, { fastify: '5.x', name: 'fastify-omnichannel-contacts', encapsulate: true })

export * from './errors.js'
export * from './rules/schemas.js'
export type { PostgresClient, PostgresPool, PostgresQuery, PostgresResult } from './store/postgres/handle.js'
export type { SqliteDatabase, SqliteStatement } from './store/sqlite/handle.js'
export { hashToken } from './http/identity.js'
export type { ContactUpdatedEvent, OmnichannelContactsOptions, User } from './options.js'
