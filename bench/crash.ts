// Is what was acknowledged still there after a crash? A server under load is killed with SIGKILL at a random moment, its
// file is opened again, and every contact must hold the last update that was answered with 200, or the one that was
// under way, whole.
//
//   npm run crash -- [--rounds 50] [--seed 1]

import Database from 'better-sqlite3'
import fastify from 'fastify'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import omnichannelContacts from '../src/index.js'

export const modes = [
  { journal: 'WAL', synchronous: 'NORMAL' },
  { journal: 'WAL', synchronous: 'FULL' },
  { journal: 'DELETE', synchronous: 'NORMAL' },
  { journal: 'DELETE', synchronous: 'FULL' }
] as const
export type Mode = typeof modes[number]

export interface Round {
  /** How many updates were answered with 200 before the crash. */
  acknowledged: number
  /** How many were sent and not answered. */
  underWay: number
  /** How many milliseconds after its first answer the server was killed. */
  killedAfter: number
  /** What was lost, torn or broken; empty when all is well. */
  losses: string[]
}

interface Sent {
  sent: number
  acknowledged: number
}

const connections = 16
const contactsOf = (connection: number): string[] => [`contact-${connection}-a`, `contact-${connection}-b`]
const visitorOf = (contactId: string): string => `visitor of ${contactId}`

/** One server, one crash. `random` returns numbers from 0 to 1. */
export async function crash ({ journal, synchronous }: Mode, random: () => number): Promise<Round> {
  const folder = mkdtempSync(join(tmpdir(), 'contacts-crash-'))
  try {
    const file = join(folder, 'contacts.db')
    await fill(file)

    const server = fileURLToPath(new URL('crash-server.ts', import.meta.url))
    // With the loader that runs this file, be it tsx's or the test runner's.
    const child = spawn(process.execPath, [...process.execArgv, server, file, journal, synchronous], { stdio: ['ignore', 'pipe', 'inherit'] })
    const exited = once(child, 'exit')
    const { port } = JSON.parse(String((await Promise.race([once(child.stdout, 'data'), exited]))[0])) as { port: number }

    const state = new Map<string, Sent>()
    const losses: string[] = []
    const killedAfter = Math.round(150 + 500 * random())
    const load = Array.from({ length: connections }, (_, connection) => putUnderLoad(port, contactsOf(connection), state, losses))
    const acknowledgements = (): number => [...state.values()].reduce((sum, contact) => sum + contact.acknowledged, 0)
    for (let waits = 0; acknowledgements() === 0 && waits < 1000; waits++) await pause(5)
    await pause(killedAfter)
    child.kill('SIGKILL')
    await Promise.all([...load, exited])

    const acknowledged = acknowledgements()
    const underWay = [...state.values()].filter((contact) => contact.sent > contact.acknowledged).length
    if (acknowledged === 0) losses.push('nothing was acknowledged, so nothing was tried')
    losses.push(...examine(file, state))
    return { acknowledged, underWay, killedAfter, losses }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

async function fill (file: string): Promise<void> {
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

/** Updates the contacts in turn, each time with the next number, until the server is gone. */
async function putUnderLoad (port: number, contactIds: string[], state: Map<string, Sent>, losses: string[]): Promise<void> {
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

/** What is wrong with a file after a crash. */
function examine (file: string, state: Map<string, Sent>): string[] {
  const database = new Database(file)
  try {
    const losses: string[] = []
    const integrity = database.pragma('integrity_check', { simple: true })
    if (integrity !== 'ok') losses.push(`integrity_check: ${String(integrity)}`)
    const list = (sql: string, id: string): unknown[] => database.prepare(sql).pluck().all(id)

    for (const [id, { sent, acknowledged }] of state) {
      const stored = Number(list('SELECT name FROM omnichannel_contact WHERE id = ?', id)[0])
      if (stored !== acknowledged && stored !== sent) losses.push(`${id}: holds ${stored}, acknowledged ${acknowledged}, sent ${sent}`)
      const [name, visitor] = [String(stored), visitorOf(id)]
      const parts: Array<[what: string, is: unknown[], expected: unknown[]]> = [
        ['version', list('SELECT version FROM omnichannel_contact WHERE id = ?', id), [stored + 1]],
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
    return losses
  } finally {
    database.close()
  }
}

/** Mulberry32: small, and the same everywhere for the same seed. */
export function createRandom (seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6D2B79F5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

async function main (): Promise<void> {
  const { values } = parseArgs({
    options: { rounds: { type: 'string', default: '50' }, seed: { type: 'string', default: String(Date.now() % 1e6) } }
  })
  const [rounds, seed] = [Number(values.rounds), Number(values.seed)]
  if (!Number.isSafeInteger(rounds) || rounds < 1 || !Number.isSafeInteger(seed)) throw new Error('--rounds and --seed take whole numbers')
  console.log(`${rounds} rounds, seed ${seed}`)
  const random = createRandom(seed)
  let [acknowledged, lost] = [0, 0]
  for (let round = 0; round < rounds; round++) {
    const mode = modes[round % modes.length] as Mode
    const result = await crash(mode, random)
    acknowledged += result.acknowledged
    lost += result.losses.length
    console.log([
      String(round + 1).padStart(3), mode.journal.padEnd(6), mode.synchronous.padEnd(6), `killed after ${result.killedAfter} ms`,
      `${result.acknowledged} acknowledged`, `${result.underWay} under way`, result.losses.length === 0 ? 'all there' : `LOST ${result.losses.join('; ')}`
    ].join('  '))
  }
  console.log(`${acknowledged} updates acknowledged in ${rounds} rounds, ${lost} lost, torn or broken`)
  if (lost > 0) process.exitCode = 1
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main()
