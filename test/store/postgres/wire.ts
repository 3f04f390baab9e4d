// Stands between a pool and its server, and changes what they say.

import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { postgresHost } from '../../postgres.js'

/** Returns what is passed on; nothing closes the connection. */
type Change = (data: Buffer, connection: object) => Buffer | undefined

export async function openWire (t: Test, changes: { toServer?: Change, toClient?: Change }): Promise<{ host: string }> {
  const real = join(await postgresHost(), '.s.PGSQL.5432')
  const folder = mkdtempSync(join(tmpdir(), 'omnichannel-wire-'))
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = connect(real)
    const pass = (from: Socket, to: Socket, change: Change = (data) => data): void => {
      sockets.add(from)
      from.on('error', () => undefined)
      from.on('close', () => to.destroy())
      from.on('data', (data) => {
        const changed = change(data, client)
        if (changed === undefined) from.destroy()
        else to.write(changed)
      })
    }
    pass(client, upstream, changes.toServer)
    pass(upstream, client, changes.toClient)
  })
  await new Promise<void>((resolve) => server.listen(join(folder, '.s.PGSQL.5432'), resolve))
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
    rmSync(folder, { recursive: true, force: true })
  })
  return { host: folder }
}
