// A client that counts what it has sent, and what of it was acknowledged.

import { once } from 'node:events'
import { Agent, request } from 'node:http'

export interface Sent {
  sent: number
  acknowledged: number
}

/** Updates the contacts in turn, each time with the next number, until the server is gone. */
export async function putUnderLoad (port: number, contactIds: string[], state: Map<string, Sent>, losses: string[]): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  for (const contactId of contactIds) state.set(contactId, { sent: 0, acknowledged: 0 })
  try {
    for (let turn = 0; ; turn++) {
      const contactId = contactIds[turn % contactIds.length] as string
      const contact = state.get(contactId) as Sent
      contact.sent++
      const status = await post(agent, port, {
        contactId, name: String(contact.sent), emails: [`${contact.sent}@example.com`, `${contact.sent}@example.org`]
      })
      if (status === 200) contact.acknowledged = contact.sent
      else losses.push(`${contactId}: update ${contact.sent} was answered with ${status}`)
    }
  } catch {
    // The server is gone.
  } finally {
    agent.destroy()
  }
}

async function post (agent: Agent, port: number, body: object): Promise<number> {
  const sent = request({
    agent, host: '127.0.0.1', port, method: 'POST', path: '/api/v1/omnichannel/contacts.update', headers: { 'content-type': 'application/json' }
  })
  sent.end(JSON.stringify(body))
  const [reply] = await once(sent, 'response')
  // The head of an answer is the acknowledgement, whether or not the rest of it still arrives.
  reply.on('error', () => undefined).resume()
  return reply.statusCode as number
}
