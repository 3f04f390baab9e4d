// A proxy between a pool and its server that delays all data in both directions.

import { connect, createServer, type Socket } from 'node:net'
import { runCommands } from './run-commands.js'

export interface ProxyOptions {
  /** The folders of the server's socket and of the proxy's. */
  server: string
  folder: string
  /** Milliseconds, each way. */
  latency: number
}

const socketName = '.s.PGSQL.5432'
const { server, folder, latency } = JSON.parse(process.argv[2]!) as ProxyOptions

function delay (from: Socket, to: Socket): void {
  from.on('data', (chunk) => { setTimeout(() => to.write(chunk), latency) })
  from.on('error', () => undefined)
  from.on('close', () => to.destroy())
}

const proxy = createServer((near) => {
  const far = connect(`${server}/${socketName}`)
  delay(near, far)
  delay(far, near)
})
// The proxy has no port.
proxy.listen(`${folder}/${socketName}`, () => runCommands(0, { stop: () => undefined }))
