import { latency, median, ratioOf, speed, type Ratio } from '../ratios.js'
import { range, table } from '../report.js'
import type { Result, Round } from './measure.js'
import type { Contestant } from './server.js'

/** What the run measured, as it is written to the file of --json. */
export interface Report {
  machine: Record<string, string | number>
  results: Result[]
}

export const cpu = (round: Round): number => round.appCpu + round.serverCpu

/** How one entrant of a result compares to another. */
function compare (result: Result, figure: (round: Round) => number, one: [Contestant, number], other: [Contestant, number]): Ratio {
  const indexOf = ([contestant, nodes]: [Contestant, number]): number =>
    result.entrants.findIndex((entrant) => entrant.contestant === contestant && entrant.nodes === nodes)
  return ratioOf(result, indexOf(one), indexOf(other), figure)
}

/** The table of the thresholds. */
export function thresholds ({ results }: Report): string {
  const resultOf = (connections: number, latency: number): Result =>
    results.find((result) => result.connections === connections && result.latency === latency) as Result
  const near = resultOf(32, 0)
  const lines: Array<[what: string, threshold: number, ratio: Ratio]> = [
    ['processor time a request, app and server, 32 connections: against by hand', 0.65, compare(near, cpu, ['plugin', 1], ['by hand', 1])],
    ['latency with 1 ms added each way, 1 connection: against by hand', 0.35, compare(resultOf(1, 1), latency, ['plugin', 1], ['by hand', 1])],
    ['processor time a request, app and server, 32 connections: two nodes against one', 1.15, compare(near, cpu, ['plugin', 2], ['plugin', 1])]
  ]
  return table(['load', 'wanted', 'measured', 'reached'], lines.map(([what, threshold, ratio]) =>
    [what, `≤ ${threshold}`, range(ratio), ratio.median <= threshold ? 'yes' : '**no**']))
}

/** Every entrant in absolute figures, and how the plugin compares to it on as many nodes. */
export function figures ({ results }: Report): string {
  const head = [
    'connections', 'added latency', 'contacts', 'nodes', 'contestant', 'requests/s', 'plugin is', 'latency ms', 'plugin takes', 'p99 ms',
    'CPU µs/request', 'of the app', 'of PostgreSQL', 'plugin takes', 'load generator'
  ]
  return table(head, results.flatMap((result) => result.entrants.map(({ contestant, nodes }, index) => {
    const rounds = result.rounds[index] ?? []
    const of = (figure: (round: Round) => number, digits: number): string => median(rounds.map(figure)).toFixed(digits)
    const ratio = (figure: (round: Round) => number): string => contestant === 'plugin'
      ? ''
      : `${compare(result, figure, ['plugin', nodes], [contestant, nodes]).median.toFixed(2)} ×`
    return [
      String(result.connections), `${result.latency} ms`, result.contacts.toLocaleString('en'), String(nodes), contestant,
      of(speed, 0), ratio(speed), of(latency, 2), ratio(latency), of((round) => round.latency.p99, 2),
      of(cpu, 0), of((round) => round.appCpu, 0), of((round) => round.serverCpu, 0), ratio(cpu),
      `${of((round) => round.clientCpu * 100, 0)} % of a core`
    ]
  })))
}
