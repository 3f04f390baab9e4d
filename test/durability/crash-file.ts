// The file before the crash, and what must be in it afterwards.

import Database from 'better-sqlite3'
import fastify from 'fastify'
import omnichannelContacts from '../../src/index.js'
import { keyOf, type Answer, type Sent } from './crash-client.js'

export const connections = 16
export const contactsOf = (connection: number): string[] => [`contact-${connection}-a`, `contact-${connection}-b`]
const visitorOf = (contactId: string): string => `visitor of ${contactId}`

export async function fill (file: string): Promise<void> {
  const database = new Database(file)
  const app = fastify()
  await app.register(omnichannelContacts, { database })
  await app.close()
  const add = (table: string, columns: string): Database.Statement =>
    database.prepare(`INSERT INTO omnichannel_${table} (${columns}) VALUES (${columns.replace(/\w+/g, '?')})`)
  const contact = add('contact', 'id, name')
  const channel = add('contact_channel', 'contact_id, position, name, visitor_id, source_type')
  const room = add('room', 'id, contact_id')
  const subscription = add('subscription', 'id, visitor_id')
  const inquiry = add('inquiry', 'id, visitor_id')
  database.transaction(() => {
    for (const id of Array.from({ length: connections }, (_, connection) => contactsOf(connection)).flat()) {
      contact.run(id, '0')
      channel.run(id, 0, 'Widget', visitorOf(id), 'widget')
      for (const n of [1, 2]) {
        room.run(`room ${n} of ${id}`, id)
        subscription.run(`subscription ${n} of ${id}`, visitorOf(id))
        inquiry.run(`inquiry ${n} of ${id}`, visitorOf(id))
      }
    }
  })()
  database.close()
}

export interface Damage {
  /** What was lost, torn or broken. */
  losses: string[]
  /** What was done more than once. */
  doubles: string[]
}

/** What is wrong with a file after a crash. */
export function examine (file: string, state: Map<string, Sent>): Damage {
  const database = new Database(file)
  try {
    const [losses, doubles]: [string[], string[]] = [[], []]
    const integrity = database.pragma('integrity_check', { simple: true })
    if (integrity !== 'ok') losses.push(`integrity_check: ${String(integrity)}`)
    const list = (sql: string, id: string): unknown[] => database.prepare(sql).pluck().all(id)

    for (const [id, { sent, acknowledged }] of state) {
      const stored = Number(list('SELECT name FROM omnichannel_contact WHERE id = ?', id)[0])
      if (stored !== acknowledged && stored !== sent) losses.push(`${id}: holds ${stored}, acknowledged ${acknowledged}, sent ${sent}`)
      // The version counts the updates: the name of a contact does not show that one was done twice.
      const done = Number(list('SELECT version FROM omnichannel_contact WHERE id = ?', id)[0]) - 1
      if (done > stored) doubles.push(`${id}: holds ${stored}, but was updated ${done} times`)
      if (done < stored) losses.push(`${id}: holds ${stored}, but was updated ${done} times`)
      const [name, visitor] = [String(stored), visitorOf(id)]
      const parts: Array<[what: string, is: unknown[], expected: unknown[]]> = [
        ['keys', list('SELECT key FROM omnichannel_idempotency_key WHERE contact_id = ? ORDER BY version', id),
          Array.from({ length: stored }, (_, index) => keyOf(id, index + 1))],
        ['emails', list('SELECT address FROM omnichannel_contact_email WHERE contact_id = ? ORDER BY position', id),
          stored === 0 ? [] : [`${stored}@example.com`, `${stored}@example.org`]],
        ...stored === 0 ? [] : [
          ['rooms', list('SELECT fname FROM omnichannel_room WHERE contact_id = ?', id), [name, name]],
          ['subscriptions', list("SELECT name || '/' || fname FROM omnichannel_subscription WHERE visitor_id = ?", visitor),
            [`${name}/${name}`, `${name}/${name}`]],
          ['inquiries', list('SELECT name FROM omnichannel_inquiry WHERE visitor_id = ?', visitor), [name, name]]
        ] as Array<[string, unknown[], unknown[]]>
      ]
      for (const [what, is, expected] of parts) {
        if (JSON.stringify(is) !== JSON.stringify(expected)) losses.push(`${id}: holds ${stored}, but its ${what} ${JSON.stringify(is)}`)
      }
    }
    return { losses, doubles }
  } finally {
    database.close()
  }
}

/** What the file would answer to the last update of each contact: where it was committed, the stored answer. */
export function readAnswers (file: string, state: Map<string, Sent>): Map<string, Pick<Answer, 'etag' | 'body'>> {
  const database = new Database(file)
  try {
    const find = database.prepare<[string], Pick<Answer, 'etag' | 'body'>>(
      `SELECT '"' || version || '"' AS etag, answer AS body FROM omnichannel_idempotency_key WHERE key = ?`)
    return new Map([...state].flatMap(([id, { sent }]) => {
      const answer = find.get(keyOf(id, sent))
      return answer === undefined ? [] : [[id, answer] as const]
    }))
  } finally {
    database.close()
  }
}
