// Stands between a pool and its server, and does to COMMIT what networks do.

import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import type { Test } from 'tap'
import { socketFolder } from '../../../.ci/postgres.js'
import { postgresHost } from '../../postgres.js'

/** The end of what the client sends, and of what the server answers. */
const commit = 'COMMIT\0'

/** A NoticeResponse with the severity WARNING. */
const text = 'SWARNING\0VWARNING\0C01000\0Mcanceling wait for synchronous replication due to user request\0RSyncRepWaitForLSN\0\0'
const warning = Buffer.concat([Buffer.from([0x4e, 0, 0, 0, text.length + 4]), Buffer.from(text)])

/**
 * What happens to a COMMIT: it does not arrive; it is done, but the answer is cut off, with the server gone from then on or
 * not, never comes, or comes with a warning.
 */
export type Event = 'lost' | 'unanswered' | 'gone' | 'hanging' | 'warned' | undefined

/** @param event what happens to the next COMMIT; `done` runs between it and its answer */
export async function openProxy (t: Test, event: () => Event, done: () => Promise<void> = async () => undefined): Promise<{ host: string }> {
  const real = join(await postgresHost(), '.s.PGSQL.5432')
  const folder = mkdtempSync(join(socketFolder(), 'omnichannel-proxy-'))
  const sockets = new Set<Socket>()
  let isGone = false
  const server = createServer((client) => {
    const upstream = connect(real)
    let happening: Event
    if (isGone) client.destroy()
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
    }
    client.on('close', () => upstream.destroy())
    upstream.on('close', () => client.destroy())
    client.on('data', (data) => {
      if (data.includes(commit)) happening = event()
      if (happening === 'lost') client.destroy()
      else upstream.write(data)
    })
    upstream.on('data', async (data) => {
      // The tag says so once the answers to what was sent before have come.
      if (happening === undefined || !data.includes(commit)) return client.write(data)
      upstream.pause()
      await done()
      upstream.resume()
      isGone ||= happening === 'gone'
      if (happening === 'unanswered' || isGone) client.destroy()
      if (happening === 'warned') client.write(Buffer.concat([warning, data]))
      happening = happening === 'hanging' ? happening : undefined
    })
  })
  await new Promise<void>((resolve) => server.listen(join(folder, '.s.PGSQL.5432'), resolve))
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
    rmSync(folder, { recursive: true, force: true })
  })
  return { host: folder }
}
