import { once } from 'node:events'
import { request, type Agent, type IncomingMessage } from 'node:http'

/** Sends an update with its key, and resolves to the head of the answer, which is the acknowledgement. */
export async function sendUpdate (agent: Agent, port: number, key: string, body: object, signal?: AbortSignal): Promise<IncomingMessage> {
  const sent = request({
    agent,
    host: '127.0.0.1',
    port,
    method: 'POST',
    path: '/api/v1/omnichannel/contacts.update',
    headers: { 'content-type': 'application/json', 'idempotency-key': key },
    ...signal && { signal }
  }).on('error', () => undefined)
  sent.end(JSON.stringify(body))
  const [reply] = await once(sent, 'response') as [IncomingMessage]
  return reply
}
