import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { addBodyParsers } from './http/body.js'
import { accessTo } from './store/sqlite/sqlite-store.js'
import { authenticateHook, authorizeHook } from './http/identity.js'
import { migrate } from './store/sqlite/migrations.js'
import { checkOptions, type OmnichannelContactsOptions } from './options.js'
import { addRoute } from './http/route.js'

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

  const access = accessTo(settings.database)
  await migrate(settings.database, access, settings)

  app.addHook('preParsing', authenticateHook(access, settings))
  app.addHook('preParsing', authorizeHook(access, settings))
  app.addHook('onClose', async () => { await access.settled() })

  addBodyParsers(app)
  addRoute(app, access, settings)
}

export default fp(plugin, { fastify: '5.x', name: 'fastify-omnichannel-contacts', encapsulate: true })

export * from './errors.js'
export * from './rules/schemas.js'
export type { SqliteDatabase, SqliteStatement } from './store/sqlite/sqlite-store.js'
export { hashToken } from './http/identity.js'
export type { ContactUpdatedEvent, OmnichannelContactsOptions, User } from './options.js'
