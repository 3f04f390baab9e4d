// The smallest server: one database file, one route.
//
//   npx tsx examples/smallest.ts

import Database from 'better-sqlite3'
import fastify from 'fastify'
import omnichannelContacts from 'fastify-omnichannel-contacts'

const database = new Database('contacts.db')
database.pragma('journal_mode = WAL')

const app = fastify({ logger: true })
await app.register(omnichannelContacts, { database })
await app.listen({ port: Number(process.env['PORT'] ?? 3000) })
