// Clients that send one update after the other, each with an idempotency key, and repeat it until a server acknowledges it.

import { setTimeout as pause } from 'node:timers/promises'

export const clients = 16
export const contactIds = Array.from({ length: 8 }, (_, index) => `contact-${index}`)

/** The e-mail addresses that an update sends. Its key is also the name that it sends. */
export function emailsOf (key: string): string[] {
  return [`${key}@example.com`, `${key}@example.org`]
}

/** How long an update is repeated before it counts as lost. */
const GIVE_UP_AFTER_MS = 20_000

/** One update, and its answer with 200 once there is one. */
export interface SentUpdate {
  key: string
  contactId: string
  /** How often it was sent. */
  times: number
  etag?: string
  /** By `performance.now()`. */
  acknowledgedAt?: number
  isReplay?: boolean
  /** Missing where the connection was lost after the head of the answer. */
  body?: string | undefined
}

export interface LoadOptions {
  /** How long a client waits for an answer before it repeats the update. */
  timeoutMs: () => number
  /** Statuses after which a client repeats the update. Any other but 200 is a surprise. */
  retriedStatuses: readonly number[]
}

export interface Load {
  updates: SentUpdate[]
  /** Sentences about answers that should not have come, and about updates that were never acknowledged. */
  surprises: string[]
  /** Resolves once `count` further updates are acknowledged, or after `GIVE_UP_AFTER_MS`. */
  waitFor: (count: number) => Promise<void>
  /** Resolves once no request waits for an answer. */
  whenQuiet: () => Promise<void>
  /** Sends nothing new, and resolves once every update is acknowledged or given up. */
  finish: () => Promise<void>
  /** Ends all requests and clients at once. */
  abandon: () => void
}

/** Starts the clients. The caller may change the list of the servers' ports. While it is empty, the clients wait. */
export function startLoad (ports: readonly number[], { timeoutMs, retriedStatuses }: LoadOptions): Load {
  const [updates, surprises]: [SentUpdate[], string[]] = [[], []]
  const abandoned = new AbortController()
  let [isOver, acknowledged, inFlight] = [false, 0, 0]

  async function send (update: SentUpdate, port: number): Promise<void> {
    const { key, contactId } = update
    update.times++
    inFlight++
    try {
      const answer = await fetch(`http://127.0.0.1:${port}/api/v1/omnichannel/contacts.update`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'idempotency-key': key },
        body: JSON.stringify({ contactId, name: key, emails: emailsOf(key) }),
        signal: AbortSignal.any([AbortSignal.timeout(timeoutMs()), abandoned.signal])
      })
      // The head of the answer is the acknowledgement, even if the connection is lost before the body.
      if (answer.status === 200) {
        acknowledged++
        update.etag = String(answer.headers.get('etag'))
        update.acknowledgedAt = performance.now()
        update.isReplay = answer.headers.get('idempotency-replayed') === 'true'
      } else if (!retriedStatuses.includes(answer.status)) {
        surprises.push(`${key} was answered with ${answer.status}`)
      }
      update.body = await answer.text()
    } catch {
      // No answer in time, or the server is gone.
    } finally {
      inFlight--
    }
  }

  const running = Array.from({ length: clients }, async (_, client) => {
    for (let number = 0; !isOver; number++) {
      const update: SentUpdate = { key: `update-${client}-${number}`, contactId: pick(contactIds)!, times: 0 }
      updates.push(update)
      const end = performance.now() + GIVE_UP_AFTER_MS
      while (update.etag === undefined && !abandoned.signal.aborted) {
        if (performance.now() > end) return surprises.push(`${update.key} was never acknowledged`)
        const port = pick(ports)
        if (port !== undefined) await send(update, port)
        if (update.etag === undefined) await pause(20)
      }
    }
  })

  return {
    updates,
    surprises,
    waitFor: async (count) => {
      const [wanted, end] = [acknowledged + count, performance.now() + GIVE_UP_AFTER_MS]
      while (acknowledged < wanted && performance.now() < end) await pause(5)
    },
    whenQuiet: async () => {
      while (inFlight > 0) await pause(5)
    },
    finish: async () => {
      isOver = true
      await Promise.all(running)
    },
    abandon: () => {
      isOver = true
      abandoned.abort()
    }
  }
}

function pick<Item> (list: readonly Item[]): Item | undefined {
  return list[Math.floor(Math.random() * list.length)]
}
