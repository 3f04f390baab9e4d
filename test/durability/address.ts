// A Unix socket that forwards to one server or another, like the address of a managed database.

import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { socketFolder } from '../helpers/postgres-server.js'

const socketName = '.s.PGSQL.5432'

export interface Address {
  /** The folder of its socket. */
  folder: string
  /** Closes all connections. New ones are forwarded to the server in that folder, or refused. */
  forwardTo: (folder: string | undefined) => void
  /** Closes all connections, and removes the folder. Called at exit of the process too. */
  close: () => void
}

export async function openAddress (): Promise<Address> {
  const folder = mkdtempSync(join(socketFolder(), 'contacts-address-'))
  // If this process is root, the servers run as another user.
  chmodSync(folder, 0o755)
  const sockets = new Set<Socket>()
  let target: string | undefined
  const server = createServer((client) => {
    if (target === undefined) return client.destroy()
    const upstream = connect(join(target, socketName))
    for (const [socket, other] of [[client, upstream], [upstream, client]] as const) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        sockets.delete(socket)
        other.destroy()
      })
      socket.pipe(other)
    }
  })
  await new Promise<void>((resolve) => server.listen({ path: join(folder, socketName), readableAll: true, writableAll: true }, resolve))
  const forwardTo = (folder: string | undefined): void => {
    target = folder
    for (const socket of sockets) socket.destroy()
  }
  const close = (): void => {
    process.off('exit', close)
    forwardTo(undefined)
    server.close()
    rmSync(folder, { recursive: true, force: true })
  }
  process.once('exit', close)
  return { folder, forwardTo, close }
}
