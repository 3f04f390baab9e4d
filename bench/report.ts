// Writes what a run has measured: a table, and raw figures in results.json. The README shows the newest results of both engines.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { drawChart } from './chart.js'
import type { Ratio } from './ratios.js'
import type { ScenarioResult } from './run.js'

export interface Row {
  what: string
  goal: string
  measured: string
  reached: boolean | undefined
}

export interface Report {
  machine: Record<string, string>
  rows: Row[]
  scenarios: Record<string, ScenarioResult>
  /** Figures of single targets. */
  figures: Record<string, unknown>
}

export type Engine = 'sqlite' | 'postgres'
type Results = Partial<Record<Engine, Report>>

/** A row of the table. A value without a unit is a ratio, and has two decimals. */
export function row (what: string, value: number | Ratio, { atLeast, atMost }: { atLeast?: number, atMost?: number } = {}, unit = ''): Row {
  const middle = typeof value === 'number' ? value : value.median
  const range = typeof value === 'number' ? '' : ` (${value.lowest.toFixed(2)}–${value.highest.toFixed(2)})`
  return {
    what,
    goal: atLeast !== undefined ? `≥ ${atLeast}${unit}` : atMost !== undefined ? `≤ ${atMost}${unit}` : '',
    measured: `${middle.toFixed(unit === '' ? 2 : 0)}${unit}${range}`,
    reached: atLeast !== undefined ? middle >= atLeast : atMost !== undefined ? middle <= atMost : undefined
  }
}

export function tableOf (rows: Row[]): string {
  const cells = rows.map(({ what, goal, measured, reached }) => [what, goal, measured, reached === undefined ? '' : reached ? 'yes' : '**no**'])
  const head = ['', 'goal', 'measured', 'reached']
  return [head, head.map(() => '---'), ...cells].map((line) => `| ${line.join(' | ')} |`).join('\n')
}

export function writeReport (engine: Engine, report: Report): void {
  const file = new URL('results.json', import.meta.url)
  const old = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) as Results : {}
  const { sqlite, postgres }: Results = { ...old, [engine]: report }
  writeFileSync(file, `${JSON.stringify({ sqlite, postgres }, round, 1)}\n`)
  writeReadme({ sqlite, postgres })
  const { normal, full } = report.scenarios
  if (normal !== undefined && full !== undefined) writeFileSync(new URL('chart.svg', import.meta.url), drawChart(normal, full))
}

/** Rounds to four digits, because no figure is more exact. */
function round (_key: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value
}

/** The lines of the README between which the table stands. */
const [begin, end] = ['<!-- results -->', '<!-- end of results -->']

function writeReadme ({ sqlite, postgres }: { sqlite: Report | undefined, postgres: Report | undefined }): void {
  const file = new URL('README.md', import.meta.url)
  const [before, rest] = readFileSync(file, 'utf8').split(begin) as [string, string]
  const rows = [
    ...sqlite?.rows.map((row) => ({ ...row, what: `SQLite: ${row.what}` })) ?? [],
    ...postgres?.rows.map((row) => ({ ...row, what: `PostgreSQL: ${row.what}` })) ?? []
  ]
  writeFileSync(file, `${before}${begin}\n\n${tableOf(rows)}\n\n${end}${rest.split(end)[1]!}`)
}
