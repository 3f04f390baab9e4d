import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { addBodyParsers } from './http/body.js'
import { logFailure, sendWithoutHooks } from './http/replies.js'
import { addRoute } from './http/route.js'
import { checkOptions, type OmnichannelContactsOptions, type OmnichannelContactsPlugin } from './options.js'
import { openStore } from './store/open-store.js'

const plugin: FastifyPluginAsync<OmnichannelContactsOptions> = async (app, options) => {
  const settings = checkOptions(options)

  const store = openStore(settings.database, (error) => { logFailure(app, () => ({ err: error }), 'a connection to the database was lost') })
  await store.migrate(settings)

  app.addHook('onClose', async () => { await store.drain() })
  app.setErrorHandler(sendWithoutHooks)
  addBodyParsers(app)
  addRoute(app, store, settings)
}

/**
 * The plugin. It adds Rocket.Chat's endpoint `POST <prefix>/omnichannel/contacts.update` to your server, on your database. The route
 * has its own parsers, validator and error handler, so the rest of your server stays as it is.
 *
 * @throws {@link InvalidOptionError}, {@link UnknownOptionError} if an option is wrong
 * @throws {@link IncompleteSchemaError}, {@link UnsuitableColumnError}, {@link NewerSchemaError} if the tables are wrong
 * @throws {@link DatabaseBusyError} if the database is locked or unreachable for longer than `lockTimeout`
 *
 * @example
 * ```ts
 * const app = fastify()
 * await app.register(omnichannelContacts, { database: new Database('contacts.db') })
 * ```
 *
 * @example With your own users. Their type goes from `authenticate` to the events:
 * ```ts
 * await app.register(omnichannelContacts<Agent>, {
 *   database,
 *   authenticate: ({ headers }): Agent | undefined => sessions.get(headers.cookie),
 *   authorize: (agent) => agent.team === 'desk',
 *   onContactUpdated: ({ user }) => { console.log(user.team) }
 * })
 * ```
 */
const omnichannelContacts = fp(plugin, { fastify: '^5.2.0', name: 'fastify-omnichannel-contacts', encapsulate: true }) as OmnichannelContactsPlugin

export default omnichannelContacts

export * from './errors.js'
export { Contact, ContactChannel, ErrorReply, UpdateContactBody, UpdateContactReply } from './rules/wire-schemas.js'
export type { PostgresClient, PostgresPool, PostgresQuery, PostgresResult } from './store/postgres/handle.js'
export type { NodeSqliteDatabase, NodeSqliteStatement, SqliteDatabase, SqliteStatement } from './store/sqlite/handle.js'
export type { CommitMessage, Engine, UpdateMessage, UpdateOutcome } from './diagnostics.js'
export { hashToken } from './http/auth.js'
export type { PostgresTables, SqliteTables } from './store/tables.js'
export type { ContactUpdatedEvent, OmnichannelContactsOptions, OmnichannelContactsPlugin, User } from './options.js'
