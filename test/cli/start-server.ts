// Starts the server of `serve` with settings that the command line does not have.

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { Writable } from 'node:stream'
import type { Test } from 'tap'
import { createServer, defaultTimeouts, type ServerSettings } from '../../src/cli/serve/server.js'
import { fill, path } from '../helpers/test-server.js'
import { sqliteDb } from '../helpers/sqlite.js'
import { openDatabase } from './sqlite-files.js'
import { readAsset } from './run-cli.js'

interface Setup extends Partial<ServerSettings> {
  timeouts?: Partial<typeof defaultTimeouts>
}

/** Starts the server on a free port, with a filled database. */
export async function startServer (t: Test, { timeouts, ...settings }: Setup = {}) {
  const database = openDatabase(':memory:')
  const stderr = new Writable({ write: (_chunk, _encoding, done) => { done() } })
  const app = await createServer(
    { handle: database, ping: async () => await Promise.resolve(database.prepare('SELECT 1').get()) },
    { logLevel: 'silent', rateLimit: 0, trustProxy: [], maxConnections: 0, metrics: false, ...settings },
    { stderr, readAsset },
    { ...defaultTimeouts, ...timeouts }
  )
  await fill(sqliteDb(database))
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(async () => {
    app.server.closeAllConnections()
    await app.close()
    database.close()
  })
  return { app, database, url, port: Number(new URL(url).port) }
}

/** The bytes of an update by ann. Additional headers are lines, each with its line end. */
export function rawUpdate (body: string, headers = ''): string {
  return `POST ${path} HTTP/1.1\r\nHost: a\r\nX-User-Id: ann\r\nX-Auth-Token: token-of-ann\r\n` +
    `Content-Type: application/json\r\n${headers}Content-Length: ${body.length}\r\n\r\n${body}`
}

/** Opens a connection for raw HTTP. When the server has closed it, `closed` resolves to all that it sent. */
export async function openRawConnection (port: number): Promise<{ socket: Socket, closed: Promise<string> }> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  let text = ''
  socket.on('data', (data) => { text += String(data) })
  socket.on('error', () => undefined)
  return { socket, closed: new Promise((resolve) => socket.on('close', () => { resolve(text) })) }
}
