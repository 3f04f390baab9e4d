// The bodies that are sent. Request i of a load goes to contact i of a shuffled order, again and again; what it
// sends follows from how often that contact had its turn, so nothing is kept and every contestant is sent the same.

import { digits, valueOf } from './data.js'

export interface Load {
  status: number
  /** Whether each answer stands for one more version of a contact. */
  writes: boolean
  body: (contact: number, turn: number) => string
}

// What changes from save to save: a quarter are renames, and the others change something else.
const changes = ['name', 'email', 'phone', 'note', 'name', 'manager', 'email', 'phone', 'name', 'note', 'manager', 'email', 'name', 'phone', 'note', 'manager']

/** How often a field of a contact was changed by its turns 0 to `turn`, one field a turn. */
function revision (field: string, contact: number, turn: number): number {
  const { length } = changes
  const isChanged = (step: number): boolean => changes[(contact + step) % length] === field
  const inCycle = changes.filter((change) => change === field).length
  let count = Math.floor((turn + 1) / length) * inCycle
  for (let step = 0; step < (turn + 1) % length; step++) if (isChanged(step)) count++
  return count
}

export const loads = {
  /** All that the web client's form holds, one thing of it changed. */
  form: {
    status: 200,
    writes: true,
    body: (contact, turn) => {
      const of = (field: string): number => revision(field, contact, turn)
      return `{"contactId":"c${digits(contact)}","name":"${valueOf.name(contact, of('name'))}",` +
        `"emails":["${valueOf.email(contact, of('email'))}","contact-${digits(contact)}@example.org"],"phones":["${valueOf.phone(contact, of('phone'))}"],` +
        `"customFields":{"plan":"gold","note":"${valueOf.note(of('note'))}"},"contactManager":"${valueOf.manager(contact, of('manager'))}"}`
    }
  },
  rename: {
    status: 200,
    writes: true,
    body: (contact, turn) => `{"contactId":"c${digits(contact)}","name":"${valueOf.name(contact, turn + 1)}"}`
  },
  manager: {
    status: 200,
    writes: true,
    body: (contact, turn) => `{"contactId":"c${digits(contact)}","contactManager":"${valueOf.manager(contact, turn + 1)}"}`
  },
  nothing: { status: 200, writes: false, body: (contact) => `{"contactId":"c${digits(contact)}"}` },
  invalid: { status: 400, writes: false, body: (contact) => `{"contactId":"c${digits(contact)}","name":"Maria","emails":"maria@example.com"}` }
} satisfies Record<string, Load>

export type LoadName = keyof typeof loads

/** A stride that visits each of `contacts` contacts once a pass, far from its neighbours. */
function strideOf (contacts: number): number {
  let stride = Math.floor(contacts * 0.618) | 1
  while (greatestCommonDivisor(stride, contacts) > 1) stride += 2
  return stride
}

function greatestCommonDivisor (a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b)
}

/** The bodies of a load in the order in which they are sent. */
export function bodiesOf (load: LoadName, contacts: number): (request: number) => string {
  const { body }: Load = loads[load]
  const stride = strideOf(contacts)
  return (request) => body((request * stride) % contacts, Math.floor(request / contacts))
}
