// Checks that the targets do the same work. Before the measurements each target gets the same valid and invalid requests. All targets must
// answer with the same status, and with the same body if the status is 200.

import { caller, createRequestMaker } from './requests.js'
import { RunningTarget, type Context, type Target } from './run.js'

const headersOfCaller = { 'x-user-id': caller.id, 'x-auth-token': caller.token }
const contactId = 'c0000001'

type Request = [headers: Record<string, string>, body: string]

function requestsFor (contacts: number): Request[] {
  const makeRequest = createRequestMaker(contacts)
  // The first updates of two contacts, and their next ones.
  const updates = [0, 1, contacts, contacts + 1, 2 * contacts]
  return [
    ...updates.map((index): Request => [headersOfCaller, makeRequest(index).body]),
    [{}, '{}'],
    [{ ...headersOfCaller, 'x-auth-token': 'wrong' }, '{}'],
    ...[
      { contactId: 'nobody' },
      { contactId },
      { contactId, name: 'Maria', emails: 'maria@example.com' },
      { contactId, name: 'Maria' },
      { contactId, contactManager: caller.id },
      { contactId, contactManager: '' },
      { contactId, contactManager: 'nobody' },
      { contactId, customFields: {} },
      { contactId, customFields: { plan: 'tin' } },
      { contactId, customFields: { plan: 'gold', colour: 'red' } },
      { contactId, name: '' },
      { contactId, emails: [], phones: ['1', '2', '3'], wipeConflicts: true }
    ].map((body): Request => [headersOfCaller, JSON.stringify(body)])
  ]
}

/** Throws if an answer differs, and returns how many requests each target got. */
export async function compareAnswers (context: Context, targets: Target[]): Promise<number> {
  const requests = requestsFor(targets[0]!.contacts)
  const answers: string[][] = []
  for (const target of targets) {
    const running = await RunningTarget.start(context, target)
    const { port } = running.servers[0]!
    const answersOfTarget: string[] = []
    for (const [headers, body] of requests) answersOfTarget.push(await post(port, headers, body))
    answers.push(answersOfTarget)
    await running.call('stop')
    running.remove()
  }
  for (const [index, [, body]] of requests.entries()) {
    const distinct = new Set(answers.map((answersOfTarget) => answersOfTarget[index]))
    if (distinct.size > 1) throw new Error(`the targets answer differently to ${body}:\n${[...distinct].join('\n')}`)
  }
  return requests.length
}

async function post (port: number, headers: Record<string, string>, body: string): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${port}/api/v1/omnichannel/contacts.update`, {
    method: 'POST', headers: { ...headers, 'content-type': 'application/json' }, body
  })
  const text = await answer.text()
  return answer.status === 200 ? text.replace(/"_updatedAt":"[^"]*"/, '') : String(answer.status)
}
