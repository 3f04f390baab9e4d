// The requests of the benchmark. Each sends all fields of a contact as JSON, as Rocket.Chat's web client does, and changes one of them.
// A request depends on its number only, so every target gets the same requests.

export const caller = { id: 'caller', token: 'token-of-caller' }
export const agentCount = 10
export const roomsPerContact = 3

/** The number of a contact in seven digits, so that all requests have the same length. */
const digits = (contact: number): string => String(contact).padStart(7, '0')

/** The field that each update of a contact changes. After the last one they begin again. A quarter are renames. */
const changes = ['name', 'email', 'phone', 'note', 'name', 'manager', 'email', 'phone', 'name', 'note', 'manager', 'email', 'name', 'phone', 'note', 'manager']

/** How often a field of a contact has changed in its updates 0 to `update`. Each contact begins at another place of `changes`. */
function countChanges (field: string, contact: number, update: number): number {
  const { length } = changes
  const inAllChanges = changes.filter((change) => change === field).length
  let count = Math.floor((update + 1) / length) * inAllChanges
  for (let step = 0; step < (update + 1) % length; step++) if (changes[(contact + step) % length] === field) count++
  return count
}

export interface UpdateRequest {
  body: string
  /** A part that the answer must have. */
  expected: string
}

/** Returns a function that makes request number `index`. The requests visit all contacts in a shuffled order, then all again. */
export function createRequestMaker (contacts: number): (index: number) => UpdateRequest {
  const stride = strideOf(contacts)
  return (index) => {
    const contact = (index * stride) % contacts
    const revisionOf = (field: string): number => countChanges(field, contact, Math.floor(index / contacts))
    const name = `Contact ${digits(contact)} ${revisionOf('name')}`
    const emails = [`contact-${digits(contact)}-${revisionOf('email')}@example.com`, `contact-${digits(contact)}@example.org`]
    const phone = `+49 30 ${digits(contact)} ${revisionOf('phone')}`
    return {
      body: `{"contactId":"c${digits(contact)}","name":"${name}","emails":["${emails[0]}","${emails[1]}"],"phones":["${phone}"],` +
        `"customFields":{"plan":"gold","note":"Called ${revisionOf('note')} times, prefers mornings"},"contactManager":"agent-${(contact + revisionOf('manager')) % agentCount}"}`,
      expected: `"name":"${name}","emails":[{"address":"${emails[0]}"},{"address":"${emails[1]}"}],"phones":[{"phoneNumber":"${phone}"}]`
    }
  }
}

/** How far apart the contacts of two requests in a row are. It shares no divisor with `contacts`, so each pass visits all contacts. */
function strideOf (contacts: number): number {
  // Near the golden ratio, which shuffles the contacts well. `| 1` makes it odd.
  let stride = Math.floor(contacts * 0.618) | 1
  while (greatestCommonDivisor(stride, contacts) > 1) stride += 2
  return stride
}

function greatestCommonDivisor (a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b)
}
