// A host like any other, on <file> with <journal mode> and <synchronous>. Prints its port.

import Database from 'better-sqlite3'
import fastify from 'fastify'
import type { AddressInfo } from 'node:net'
import omnichannelContacts from '../../src/index.js'

const [file, journal, synchronous] = process.argv.slice(2) as [string, string, string]
const database = new Database(file)
database.pragma(`journal_mode = ${journal}`)
database.pragma(`synchronous = ${synchronous}`)

const app = fastify()
await app.register(omnichannelContacts, { database, authenticate: () => ({ id: 'load' }), authorize: () => true })
await app.listen({ host: '127.0.0.1', port: 0 })
process.stdout.write(JSON.stringify({ port: (app.server.address() as AddressInfo).port }) + '\n')
