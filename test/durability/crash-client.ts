// A client that counts what it has sent, and what of it was acknowledged. Each update has a key of its own, so what was
// not answered can be sent again.

import { Agent, type IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import { sendUpdate } from './send-update.js'

export interface Sent {
  sent: number
  acknowledged: number
}

export interface Answer {
  status: number | undefined
  etag: string | undefined
  /** `Idempotency-Replayed`. */
  replayed: string | undefined
  body: string
}

export const keyOf = (contactId: string, update: number): string => `${contactId}-${update}`

/** Updates the contacts in turn, each time with the next number, until the server is gone. */
export async function putUnderLoad (port: number, contactIds: string[], state: Map<string, Sent>, losses: string[]): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  for (const contactId of contactIds) state.set(contactId, { sent: 0, acknowledged: 0 })
  try {
    for (let turn = 0; ; turn++) {
      const contactId = contactIds[turn % contactIds.length] as string
      const contact = state.get(contactId) as Sent
      contact.sent++
      const reply = await post(agent, port, contactId, contact.sent)
      // The head of an answer is the acknowledgement, whether or not the rest of it still arrives.
      reply.on('error', () => undefined).resume()
      if (reply.statusCode === 200) contact.acknowledged = contact.sent
      else losses.push(`${contactId}: update ${contact.sent} was answered with ${reply.statusCode}`)
    }
  } catch {
    // The server is gone.
  } finally {
    agent.destroy()
  }
}

/** Sends the contact's last update again, with its key. */
export async function repeat (port: number, contactId: string, contact: Sent): Promise<Answer> {
  const reply = await post(new Agent(), port, contactId, contact.sent)
  const body = await text(reply)
  if (reply.statusCode === 200) contact.acknowledged = contact.sent
  return { status: reply.statusCode, etag: reply.headers.etag, replayed: reply.headers['idempotency-replayed'] as string | undefined, body }
}

async function post (agent: Agent, port: number, contactId: string, update: number): Promise<IncomingMessage> {
  const emails = [`${update}@example.com`, `${update}@example.org`]
  return await sendUpdate(agent, port, keyOf(contactId, update), { contactId, name: String(update), emails })
}
