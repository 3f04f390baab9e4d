// What the explorers of both engines share.

import type { Test } from 'tap'

/** All updates of a scenario have the same millisecond. */
export const now = new Date().toISOString()

const RealDate = Date

/** The clock stands still until the test ends. */
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

/** How a request is sent: to a registration with a `beforeCommit`, with an `Idempotency-Key`. */
export interface Mode {
  isHooked: boolean
  isKeyed: boolean
}

export function words ({ isHooked, isKeyed }: Partial<Mode>): string {
  return `${isHooked === true ? ', beforeCommit' : ''}${isKeyed === true ? ', key' : ''}`
}

/** Without and with a `beforeCommit` and a key. */
export const modes: Mode[] = [{ isHooked: false, isKeyed: false }, { isHooked: true, isKeyed: true }]

interface Planned {
  /** The text of the statement at which it happens. */
  at: RegExp
  /** So many of these statements pass before it happens; none unless given. */
  after?: number
  /** How often it happens; once unless given. */
  times?: number
}

/** What is to happen at which statement. */
export function createPlan<Injection extends Planned> () {
  let planned: Array<Injection & Required<Planned>> = []
  /** The statements since the plan began. */
  const passed: string[] = []
  return {
    passed,
    begin: (injections: Injection[]): void => {
      planned = injections.map((injection) => ({ after: 0, times: 1, ...injection }))
      passed.length = 0
    },
    /** What happens at this statement. */
    meet: (text: string): Injection | undefined => {
      passed.push(text)
      // Each counts each statement, so that the first one's is not the second one's.
      const [due] = planned.filter(({ at, times }) => times > 0 && at.test(text)).filter((injection) => injection.after-- <= 0)
      if (due !== undefined) due.times--
      return due
    },
    /** What has not happened. */
    left: (): Injection[] => planned.filter(({ times }) => times > 0 && times < Infinity)
  }
}

/** Each lane takes one scenario after the other. ONLY, a part of their names, picks some. */
export async function exploreAll<Scenario extends { name: string }, Lane> (
  t: Test, scenarios: Scenario[], lanes: Lane[], explore: (lane: Lane, scenario: Scenario) => Promise<string[]>
): Promise<void> {
  const queue = scenarios.filter(({ name }) => name.includes(process.env.ONLY ?? ''))
  const count = queue.length
  const broken: Record<string, string[]> = {}
  await Promise.all(lanes.map(async (lane) => {
    for (let scenario = queue.shift(); scenario !== undefined; scenario = queue.shift()) {
      const promises = await explore(lane, scenario)
      if (promises.length > 0) broken[scenario.name] = promises
    }
  }))
  t.strictSame(broken, {}, `no promise is broken in ${count} scenarios`)
}
