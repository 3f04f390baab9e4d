// The load, in a process of its own: keep-alive sockets that send the next request as soon as the answer to the last
// one is complete. It reads of an answer only the status and the length, so that it is not what is measured.

import { connect, type Socket } from 'node:net'
import { caller } from './data.js'
import { bodiesOf, loads, type LoadName } from './loads.js'

export interface Shot {
  /** Of the servers; the connections are shared out among them. */
  ports: number[]
  load: LoadName
  contacts: number
  connections: number
  /** Ends after this long, or after this many requests. */
  milliseconds?: number
  requests?: number
  /** The number of the first request: where the last shot at this server ended. */
  from: number
}

export interface Hits {
  requests: number
  milliseconds: number
  perSecond: number
  /** Milliseconds from a request to its whole answer. */
  latency: { median: number, p99: number, max: number }
  /** The share of a core that this process was busy with. */
  clientCpu: number
}

const head = 'POST /api/v1/omnichannel/contacts.update HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n' +
  `X-User-Id: ${caller.id}\r\nX-Auth-Token: ${caller.token}\r\nContent-Length: `

async function shoot (shot: Shot): Promise<Hits> {
  const { ports, load, contacts, connections, milliseconds = Infinity, requests = Infinity, from } = shot
  const body = bodiesOf(load, contacts)
  const expected = String(loads[load].status)
  const latencies: number[] = []
  const sockets: Socket[] = []
  const cpu = process.cpuUsage()
  const start = performance.now()
  let sent = 0

  await Promise.all(Array.from({ length: connections }, async (_, connection) => await new Promise<void>((resolve, reject) => {
    let answer = ''
    let sentAt = 0
    const next = (): void => {
      sentAt = performance.now()
      if (sent >= requests || sentAt - start >= milliseconds) return resolve()
      const text = body(from + sent++)
      socket.write(`${head}${text.length}\r\n\r\n${text}`, 'latin1')
    }
    const receive = (size: number, buffer: Uint8Array): boolean => {
      answer += (buffer as Buffer).toString('latin1', 0, size)
      const end = answer.indexOf('\r\n\r\n')
      const length = Number(/\r\ncontent-length: (\d+)/i.exec(answer)?.[1])
      if (end === -1 || answer.length < end + 4 + length) return true
      if (answer.slice(9, 12) !== expected) reject(new Error(`${load}: expected ${expected}, got ${answer}`))
      latencies.push(performance.now() - sentAt)
      answer = ''
      next()
      return true
    }
    const port = ports[connection % ports.length] as number
    const socket = connect({ host: '127.0.0.1', port, noDelay: true, onread: { buffer: Buffer.alloc(16_384), callback: receive } }, next)
    sockets.push(socket)
    socket.on('error', reject)
    socket.on('close', () => reject(new Error(`${load}: the server closed the connection`)))
  })))

  const elapsed = performance.now() - start
  const { user, system } = process.cpuUsage(cpu)
  for (const socket of sockets) socket.destroy()
  latencies.sort((a, b) => a - b)
  const at = (share: number): number => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? NaN
  return {
    requests: latencies.length,
    milliseconds: elapsed,
    perSecond: latencies.length / elapsed * 1000,
    latency: { median: at(0.5), p99: at(0.99), max: at(1) },
    clientCpu: (user + system) / 1000 / elapsed
  }
}

process.on('disconnect', () => process.exit())
process.on('message', (shot: Shot) => {
  shoot(shot).then((hits) => process.send?.({ hits }), (error: unknown) => process.send?.({ error: String(error) }))
})
