import type { Memory, Result } from './measure.js'
import { indexOf, latency, median, ratioOf, speed, type Ratio } from './ratios.js'
import type { Contestant } from './server.js'
import type { Turns } from './turns.js'

/** What the run measured, as it is written to the file of --json. */
export interface Report {
  machine: Record<string, string | number>
  form: Result
  full: Result
  single: Result
  million: Result
  more: Result[]
  /** At 256 connections, and while another process keeps the write lock for 2 s: a figure for each contestant. */
  turns: Record<string, Turns>
  locked: Record<string, Turns>
  /** Microseconds of processor time an update takes the plugin without HTTP. */
  inProcess: number
  memory: Record<string, { few: number, many: number, after: [Memory, Memory] }>
}

const ms = (value: number): string => `${value.toFixed(1)} ms`

export type Line = [what: string, threshold: string, measured: string, reached: boolean]

export const range = ({ median, lowest, highest }: Ratio): string => `${median.toFixed(2)} (${lowest.toFixed(2)}–${highest.toFixed(2)})`

function atLeast (what: string, threshold: number, ratio: Ratio): Line {
  return [what, `≥ ${threshold}`, range(ratio), ratio.median >= threshold]
}

/** The table of the thresholds. */
export function thresholds ({ form, full, single, million, turns, locked, inProcess, memory }: Report): string {
  const against = (result: Result, contestant: Contestant, figure = speed): Ratio =>
    ratioOf(result, indexOf(result, 'plugin'), indexOf(result, contestant), figure)
  const alone = against(single, 'by hand', latency)
  const [small, byHand, large] = million.entrants.map((_, index) => index) as [number, number, number]
  const [held, ofCeiling, waited] = [turns.plugin, turns.ceiling, locked.plugin] as [Turns, Turns, Turns]
  const { few, many, after: [first, last] } = memory.plugin as Report['memory'][string]
  const [rss, heap] = [last.rss / first.rss, last.heapUsed / first.heapUsed]
  const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(0)
  const lines: Line[] = [
    atLeast('whole form, a quarter renames, 10,000 contacts, 32 connections, NORMAL: against by hand', 1.6, against(form, 'by hand')),
    atLeast('the same at FULL: against by hand', 3.2, against(full, 'by hand')),
    atLeast('the same at NORMAL: against the ceiling', 0.5, against(form, 'ceiling')),
    atLeast('the same at NORMAL: against plain Kysely', 6, against(form, 'plain Kysely')),
    ['1 connection: latency against by hand', '≤ 1', range(alone), alone.median <= 1],
    atLeast('a million contacts: against by hand there', 1.6, ratioOf(million, large, byHand, speed)),
    atLeast('a million contacts against a thousand', 0.75, ratioOf(million, large, small, speed)),
    [
      "event loop held at 256 connections, 99.9 % of turns: against the ceiling's", '≤ 1.2',
      `${(held.p999 / ofCeiling.p999).toFixed(2)} (${ms(held.p999)} of ${held.count} turns, ${ms(ofCeiling.p999)} of ${ofCeiling.count})`,
      held.p999 <= 1.2 * ofCeiling.p999
    ],
    ['event loop held while another process keeps the write lock for 2 s', '≤ 50 ms', ms(waited.max), waited.max <= 50],
    ['processor time of an update in process, 32 at a time', '≤ 50 µs', `${inProcess.toFixed(0)} µs`, inProcess <= 50],
    [
      `memory after ${many.toLocaleString('en')} updates against after ${few.toLocaleString('en')}`, '≤ 1.1',
      `${rss.toFixed(2)} (resident ${mib(first.rss)} → ${mib(last.rss)} MiB; heap ${heap.toFixed(2)}, ${mib(first.heapUsed)} → ${mib(last.heapUsed)} MiB)`,
      rss <= 1.1 && heap <= 1.1
    ]
  ]
  return table(['load', 'wanted', 'measured', 'reached'], lines.map(([what, threshold, measured, reached]) =>
    [what, threshold, measured, reached ? 'yes' : '**no**']))
}

/** Every entrant of every cell, in absolute figures. */
export function figures ({ form, full, single, million, more }: Report): string {
  return table(
    ['load', 'connections', 'contacts', 'synchronous', 'contestant', 'requests/s', 'plugin is', 'latency ms', 'p99 ms', 'server CPU µs/request', 'load generator'],
    [form, full, single, million, ...more].flatMap((result) => result.entrants.map(({ contestant, contacts, synchronous }, index) => {
      const rounds = result.rounds[index] ?? []
      const of = (figure: (round: typeof rounds[number]) => number, digits: number): string => median(rounds.map(figure)).toFixed(digits)
      const plugin = result.entrants.findIndex((entrant) =>
        entrant.contestant === 'plugin' && entrant.contacts === contacts && entrant.synchronous === synchronous)
      return [
        result.load, String(result.connections), contacts.toLocaleString('en'), synchronous, contestant, of(speed, 0),
        plugin === index ? '' : `${ratioOf(result, plugin, index, speed).median.toFixed(2)} ×`,
        of(latency, 2), of((round) => round.latency.p99, 2), of((round) => round.serverCpu, 0),
        `${of((round) => round.clientCpu * 100, 0)} % of a core`
      ]
    })))
}

/** How long a turn of the event loop was, for everybody. */
export function holds ({ turns, locked }: Report): string {
  return table(['event loop of', 'turns', 'median', '99.9 %', 'longest', '99.9 % of their processor time', 'longest while another process keeps the lock'],
    Object.entries(turns).map(([name, { count, median, p999, max, cpu }]) => {
      const waited = locked[name]
      return [name, String(count), ms(median), ms(p999), ms(max), ms(cpu.p999), waited === undefined ? '' : ms(waited.max)]
    }))
}

export function table (head: string[], lines: string[][]): string {
  return [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}
