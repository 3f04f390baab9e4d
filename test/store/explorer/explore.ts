// Shared by the explorers of both engines. They run an update again and again, each time with another fault at another statement.

import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { as } from '../../helpers/build.js'
import { bodyOf, judge, type Request, type Rows } from './oracle.js'

/** All updates of a scenario have the same millisecond. */
export const now = new Date().toISOString()

const RealDate = Date

/** Stops the clock until the test ends. */
export function freeze (t: Test): void {
  globalThis.Date = class extends RealDate {
    constructor (...values: []) {
      super(...(values.length === 0 ? [now] as unknown as [] : values))
    }

    static override now = (): number => RealDate.parse(now)
  } as DateConstructor
  t.teardown(() => { globalThis.Date = RealDate })
}

export async function within<Result> (promise: Promise<Result>, what: string): Promise<Result> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => { timer = setTimeout(() => { reject(new Error(`${what} does not end`)) }, 30_000) })
  return await Promise.race([promise, late]).finally(() => { clearTimeout(timer) })
}

/** What is allowed to happen in a scenario. */
export interface Limits {
  /** The statuses that the answer may have. 0 stands for a client that is gone. */
  allowed: number[]
  /** How often `beforeCommit` may be called for one request. Default 2. */
  calls?: number
  mayBeInDoubt?: boolean
  /** Whether the update may be made although its client is gone. */
  mayBeDone?: boolean
}

/** How a request is sent: to a registration with a `beforeCommit`, with an `Idempotency-Key`. */
export interface Mode {
  isHooked: boolean
  isKeyed: boolean
}

export function describeMode ({ isHooked, isKeyed }: Partial<Mode>): string {
  return `${isHooked === true ? ', beforeCommit' : ''}${isKeyed === true ? ', key' : ''}`
}

/** With neither a `beforeCommit` nor a key, and with both. */
export const modes: Mode[] = [{ isHooked: false, isKeyed: false }, { isHooked: true, isKeyed: true }]

/** Records what happens in a scenario. */
export function createRecord () {
  const record = { log: [] as string[], notified: [] as string[], called: [] as string[], requests: [] as Request[] }
  return {
    ...record,
    forget: (): void => { for (const list of Object.values(record)) list.length = 0 },
    logger: { level: 'warn', stream: { write: (line: string) => { record.log.push(line) } } },
    onContactUpdated: ({ contact }: { contact: { name: string } }) => { record.notified.push(contact.name) },
    /** Sends a request and records its reply. A client that is gone gets none. */
    post: async (app: FastifyInstance, prefix: string, name: string, key?: string): Promise<void> => {
      const request: Request = { name, key }
      record.requests.push(request)
      const headers = { ...as('ann'), ...key !== undefined && { 'idempotency-key': key } }
      request.reply = await app.inject({
        method: 'POST', url: `${prefix}/omnichannel/contacts.update`, headers, payload: bodyOf(name)
      }).catch(() => undefined)
    }
  }
}

/** Returns what went wrong in a scenario: too many calls of `beforeCommit`, and what `judge` finds. */
export function examine (
  { log, notified, called, requests }: ReturnType<typeof createRecord>, rows: { before: Rows, after: Rows },
  { isHooked = false, calls = 2, mayBeInDoubt = false, mayBeDone = false }: Partial<Mode & Limits>, names: string[]
): string[] {
  const excesses = names.map((name) => [name, called.filter((one) => one === name).length] as const).filter(([, count]) => count > calls)
  return [
    ...excesses.map(([name, count]) => `beforeCommit was called ${count} times for ${name}`),
    ...judge({ ...rows, requests, notified, called: isHooked ? called : undefined, log, mayBeInDoubt, mayBeDone }, now)
  ]
}

interface Planned {
  /** The text of the statement at which it happens. */
  at: RegExp
  /** The number of these statements that pass before it happens. Default 0. */
  after?: number
  /** How often it happens. Default 1. */
  times?: number
}

/** Plans which fault happens at which statement. */
export function createPlan<Injection extends Planned> () {
  let planned: Array<Injection & Required<Planned>> = []
  /** The texts of the statements since the plan began. */
  const passed: string[] = []
  return {
    passed,
    begin: (injections: Injection[]): void => {
      planned = injections.map((injection) => ({ after: 0, times: 1, ...injection }))
      passed.length = 0
    },
    /** Returns the fault that is due at this statement. */
    meet: (text: string): Injection | undefined => {
      passed.push(text)
      // Each injection counts every statement, also those at which another one happens.
      const [due] = planned.filter(({ at, times }) => times > 0 && at.test(text)).filter((injection) => injection.after-- <= 0)
      if (due !== undefined) due.times--
      return due
    },
    /** The faults that have not happened. */
    left: (): Injection[] => planned.filter(({ times }) => times > 0 && times < Infinity)
  }
}

/** Runs all scenarios, one after the other in each lane. The variable ONLY picks scenarios by a part of their name. */
export async function exploreAll<Scenario extends { name: string }, Lane> (
  t: Test, scenarios: Scenario[], lanes: Lane[], explore: (lane: Lane, scenario: Scenario) => Promise<string[]>
): Promise<void> {
  const queue = scenarios.filter(({ name }) => name.includes(process.env.ONLY ?? ''))
  const count = queue.length
  const problemsOf: Record<string, string[]> = {}
  await Promise.all(lanes.map(async (lane) => {
    for (let scenario = queue.shift(); scenario !== undefined; scenario = queue.shift()) {
      const problems = await explore(lane, scenario)
      if (problems.length > 0) problemsOf[scenario.name] = problems
    }
  }))
  t.strictSame(problemsOf, {}, `no problem in ${count} scenarios`)
}
