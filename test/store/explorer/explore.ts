// Shared by the explorers of both engines. An explorer runs an update again and again, each time with another fault at another statement.

import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { as } from '../../helpers/test-server.js'
import { bodyOf, judge, type Request, type Rows } from './oracle.js'

/** All updates of a scenario have the same millisecond. */
export const now = new Date().toISOString()

const RealDate = Date

/** Stops the clock until the test ends. */
export function stopClock (t: Test): void {
  globalThis.Date = class extends RealDate {
    constructor (...values: []) {
      super(...(values.length === 0 ? [now] as unknown as [] : values))
    }

    static override now = (): number => RealDate.parse(now)
  } as DateConstructor
  t.teardown(() => { globalThis.Date = RealDate })
}

/** Rejects after 30 seconds. The error names `what`. */
export async function withTimeout<Result> (promise: Promise<Result>, what: string): Promise<Result> {
  let timer: NodeJS.Timeout | undefined
  const timedOut = new Promise<never>((_resolve, reject) => { timer = setTimeout(() => { reject(new Error(`${what} does not end`)) }, 30_000) })
  return await Promise.race([promise, timedOut]).finally(() => { clearTimeout(timer) })
}

/** What is allowed to happen in a scenario. */
export interface Limits {
  /** The statuses that the answer may have. 0 stands for a client that is gone. */
  allowed: number[]
  /** How often `beforeCommit` may be called for one request. Default 2. */
  maxCalls?: number
  mayBeInDoubt?: boolean
  /** Whether the update may be made although its client is gone. */
  mayCommitWithoutClient?: boolean
}

/** How a request is sent: to a registration with a `beforeCommit`, with an `Idempotency-Key`. */
export interface Mode {
  hasCallback: boolean
  hasKey: boolean
}

export function describeMode ({ hasCallback, hasKey }: Partial<Mode>): string {
  return `${hasCallback === true ? ', beforeCommit' : ''}${hasKey === true ? ', key' : ''}`
}

/** With neither a `beforeCommit` nor a key, and with both. */
export const modes: Mode[] = [{ hasCallback: false, hasKey: false }, { hasCallback: true, hasKey: true }]

/** Records what happens in a scenario. */
export function createRecord () {
  const record = { log: [] as string[], namesAfterCommit: [] as string[], namesBeforeCommit: [] as string[], requests: [] as Request[] }
  return {
    ...record,
    clear: (): void => { for (const list of Object.values(record)) list.length = 0 },
    logger: { level: 'warn', stream: { write: (line: string) => { record.log.push(line) } } },
    onContactUpdated: ({ contact }: { contact: { name: string } }) => { record.namesAfterCommit.push(contact.name) },
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

interface Ended {
  record: Pick<ReturnType<typeof createRecord>, 'log' | 'namesAfterCommit' | 'namesBeforeCommit' | 'requests'>
  /** All rows before and after the requests. */
  before: Rows
  after: Rows
  limits: Partial<Mode & Limits>
  /** The names that the requests under test have sent. */
  names: string[]
}

/** Returns what went wrong in a scenario: too many calls of `beforeCommit`, and what `judge` finds. */
export function findProblems ({ record: { log, namesAfterCommit, namesBeforeCommit, requests }, before, after, limits, names }: Ended): string[] {
  const { hasCallback = false, maxCalls = 2, mayBeInDoubt = false, mayCommitWithoutClient = false } = limits
  const callCounts = names.map((name) => ({ name, count: namesBeforeCommit.filter((calledName) => calledName === name).length }))
  return [
    ...callCounts.filter(({ count }) => count > maxCalls).map(({ name, count }) => `beforeCommit was called ${count} times for ${name}`),
    ...judge({
      before, after, requests, log, mayBeInDoubt, mayCommitWithoutClient,
      namesAfterCommit, namesBeforeCommit: hasCallback ? namesBeforeCommit : undefined
    }, now)
  ]
}

interface Planned {
  /** Matches the text of the statement at which the fault happens. */
  at: RegExp
  /** The number of matching statements that pass before the fault happens. Default 0. */
  skip?: number
  /** How often it happens. Default 1. */
  times?: number
}

/** Plans which fault happens at which statement. */
export function createPlan<Injection extends Planned> () {
  let planned: Array<Injection & Required<Planned>> = []
  /** The texts of the statements since the plan began. */
  const statements: string[] = []
  return {
    statements,
    begin: (injections: Injection[]): void => {
      planned = injections.map((injection) => ({ skip: 0, times: 1, ...injection }))
      statements.length = 0
    },
    /** Records that a statement is reached, and returns the fault that is due at it. */
    reach: (text: string): Injection | undefined => {
      statements.push(text)
      // Each injection counts every statement, also those at which another one happens.
      const [due] = planned.filter(({ at, times }) => times > 0 && at.test(text)).filter((injection) => injection.skip-- <= 0)
      if (due !== undefined) due.times--
      return due
    },
    /** The faults that have not happened. */
    unused: (): Injection[] => planned.filter(({ times }) => times > 0 && times < Infinity)
  }
}

/** Runs all scenarios. Lanes work at the same time, each on one scenario. The variable ONLY picks scenarios by a part of their name. */
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
