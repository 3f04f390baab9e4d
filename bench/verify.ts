// Before anything is measured: do the contestants do the same work? Each is asked the same questions, good and bad,
// and must answer with the same status and the same body.

import { caller } from './data.js'
import { bodiesOf, loads, type LoadName } from './loads.js'
import { start, type Workshop } from './measure.js'

const contacts = 1000
const known = { 'x-user-id': caller.id, 'x-auth-token': caller.token }
const withoutForm = { contactId: 'c0000001', contactManager: 'agent-1' }

type Question = [headers: Record<string, string>, body: string]

const questions: Question[] = [
  ...(Object.keys(loads) as LoadName[]).flatMap((load) =>
    [0, 1, contacts, contacts + 1, 2 * contacts].map((request): Question => [known, bodiesOf(load, contacts)(request)])),
  [{}, '{}'],
  [{ ...known, 'x-auth-token': 'wrong' }, '{}'],
  ...[
    { contactId: 'nobody' },
    { ...withoutForm, contactManager: caller.id },
    { ...withoutForm, contactManager: '' },
    { ...withoutForm, contactManager: 'nobody' },
    { ...withoutForm, customFields: {} },
    { ...withoutForm, customFields: { plan: 'tin' } },
    { ...withoutForm, customFields: { plan: 'gold', colour: 'red' } },
    { ...withoutForm, name: '' },
    { ...withoutForm, emails: [], phones: ['1', '2', '3'], wipeConflicts: true }
  ].map((body): Question => [known, JSON.stringify(body)])
]

export async function verify (workshop: Workshop): Promise<number> {
  const answers: string[][] = []
  for (const contestant of ['plugin', 'by hand', 'plain Kysely'] as const) {
    const { server } = await start(workshop, { contestant, synchronous: 'NORMAL', contacts })
    answers.push(await answersOf(server.port))
    await server.ask('stop')
  }
  return compare(answers)
}

/** What a contestant on a fresh database says to each question. */
export async function answersOf (port: number): Promise<string[]> {
  const given: string[] = []
  for (const [headers, body] of questions) {
    const response = await fetch(`http://127.0.0.1:${port}/api/v1/omnichannel/contacts.update`, {
      method: 'POST', headers: { ...headers, 'content-type': 'application/json' }, body
    })
    given.push(`${response.status} ${(await response.text()).replace(/"_updatedAt":"[^"]*"/, '')}`)
  }
  return given
}

/** Throws where somebody's answer differs, and returns how many were compared. */
export function compare (answers: string[][]): number {
  for (const [index, [, body]] of questions.entries()) {
    const given = new Set(answers.map((of) => of[index]))
    if (given.size > 1) throw new Error(`the contestants answer differently to ${body}:\n${[...given].join('\n')}`)
  }
  return questions.length
}
