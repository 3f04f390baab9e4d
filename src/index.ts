import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { addBodyParsers } from './body.js'
import { accessTo } from './database.js'
import { authenticateHook, authorizeHook } from './identity.js'
import { migrate } from './migrate.js'
import { checkOptions, type OmnichannelContactsOptions } from './options.js'
import { addRoute } from './route.js'

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
export * from './schemas.js'
export type { SqliteDatabase, SqliteStatement } from './database.js'
export { hashToken } from './identity.js'
export type { ContactUpdatedEvent, OmnichannelContactsOptions, User } from './options.js'
