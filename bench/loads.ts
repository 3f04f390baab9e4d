// The bodies that are sent. Request i of a load goes to contact i of a shuffled order, again and again; what it
// sends follows from how often that contact had its turn, so nothing is kept and every contestant is sent the same.

import { digits, valueOf } from './data.js'

export interface Load {
  status: number
  /** Whether each answer stands for one more version of a contact. */
  writes: boolean
  body: (contact: number, turn: number) => string
}

const fields = 5

/** How often field `field` of the form was changed by the turns 0 to `turn` of a contact, one field a turn. */
function revision (field: number, contact: number, turn: number): number {
  const first = (field - contact % fields + fields) % fields
  return turn < first ? 0 : Math.floor((turn - first) / fields) + 1
}

export const loads = {
  /** All that the web client's form holds, one thing of it changed. */
  form: {
    status: 200,
    writes: true,
    body: (contact, turn) => {
      const of = (field: number): number => revision(field, contact, turn)
      return `{"contactId":"c${digits(contact)}","name":"${valueOf.name(contact, of(0))}",` +
        `"emails":["${valueOf.email(contact, of(1))}","contact-${digits(contact)}@example.org"],"phones":["${valueOf.phone(contact, of(2))}"],` +
        `"customFields":{"plan":"gold","note":"${valueOf.note(of(3))}"},"contactManager":"${valueOf.manager(contact, of(4))}"}`
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
