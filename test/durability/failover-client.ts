// Clients that each send one update after the other, every one with a key of its own, and the same again, to whichever node,
// until it is acknowledged.

import { Agent, type IncomingMessage } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { contactIds, emailsOf } from './failover-ledger.js'
import { sendUpdate } from './send-update.js'

export const clients = 16
/** How long a client waits before it takes an answer for lost; in milliseconds. At times long enough for any machine. */
const patience = (): number => 100 + Math.round(900 * Math.random())
/** How long it keeps asking. */
const longest = 20_000 // ms

/** One update, and what became of it. */
export interface Sent {
  key: string
  contactId: string
  /** How often it was sent. */
  times: number
  /** Of the answer with 200, if there was one. */
  etag?: string
  /** When that came, by `performance.now()`. */
  acknowledgedAt?: number
  /** Whether it had been done before. */
  isReplay?: boolean
}

export interface Load {
  sent: Sent[]
  /** What was answered with anything but 200, 500 and 503, or with nothing else for too long. */
  surprises: string[]
  /** Resolves once so many more are acknowledged, or after the time in which each should be. */
  more: (count: number) => Promise<void>
  /** Resolves once all that was sent is acknowledged, or has been asked for long enough. */
  finish: () => Promise<void>
  abandon: () => void
}

export function startLoad (ports: readonly number[]): Load {
  const [sent, surprises]: [Sent[], string[]] = [[], []]
  const agent = new Agent({ keepAlive: true })
  let [isOver, isAbandoned, acknowledged] = [false, false, 0]

  const running = Array.from({ length: clients }, async (_, client) => {
    for (let update = 0; !isOver; update++) {
      const one: Sent = { key: `update-${client}-${update}`, contactId: pick(contactIds), times: 0 }
      sent.push(one)
      const end = performance.now() + longest
      while (one.etag === undefined && !isAbandoned) {
        if (performance.now() > end) return surprises.push(`${one.key} was asked for in vain`)
        if (one.times++ > 0) await pause(20)
        const reply = await post(agent, pick(ports), one)
        if (reply?.statusCode === 200) {
          acknowledged++
          one.etag = String(reply.headers.etag)
          one.acknowledgedAt = performance.now()
          one.isReplay = reply.headers['idempotency-replayed'] === 'true'
        } else if (reply !== undefined && ![500, 503].includes(Number(reply.statusCode))) {
          surprises.push(`${one.key} was answered with ${reply.statusCode}`)
        }
      }
    }
  })
  return {
    sent,
    surprises,
    more: async (count) => {
      const [enough, end] = [acknowledged + count, performance.now() + longest]
      while (acknowledged < enough && performance.now() < end) await pause(5)
    },
    finish: async () => {
      isOver = true
      await Promise.all(running)
    },
    abandon: () => {
      isOver = isAbandoned = true
      agent.destroy()
    }
  }
}

function pick<Item> (list: readonly Item[]): Item {
  return list[Math.floor(Math.random() * list.length)] as Item
}

/** The answer, or nothing. */
async function post (agent: Agent, port: number, { key, contactId }: Sent): Promise<IncomingMessage | undefined> {
  try {
    const body = { contactId, name: key, emails: emailsOf(key) }
    const reply = await sendUpdate(agent, port, key, body, AbortSignal.timeout(patience()))
    // The head of an answer is the acknowledgement, whether or not the rest of it still arrives.
    reply.on('error', () => undefined).resume()
    return reply
  } catch {
    return undefined
  }
}
