// Each query of the dashboard uses metrics and labels that `serve --metrics` has.
//
//   npx tap --disable-coverage examples/grafana-dashboard.test.ts

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openFile } from '../test/cli/sqlite-files.js'
import { serve, update as send } from '../test/cli/run-cli.js'
import { fill, lockMaria } from '../test/helpers/test-server.js'
import type { Db } from '../test/helpers/database.js'
import { postgres, sqlite } from '../test/helpers/engines.js'
import { openSchema } from '../test/helpers/postgres.js'
import { sqliteDb } from '../test/helpers/sqlite.js'

interface Dashboard {
  panels: Array<{ title: string, targets: Array<{ expr: string }> }>
  templating: { list: Array<{ name: string, query: string }> }
}

const { panels, templating } = JSON.parse(readFileSync('examples/grafana-dashboard.json', 'utf8')) as Dashboard

/** A metric that a query asks for, with the labels that it needs. */
interface Selector {
  metric: string
  labels: string[]
}

const functionNames = /^(sum|max|rate|by|histogram_quantile)$/
/** Prometheus adds these labels when it scrapes. */
const labelsOfPrometheus = /^(job|instance)$/

/** Reads the part of PromQL that the dashboard uses. The labels of `by (…)` belong to the metric after it. */
function selectorsOf (expr: string): Selector[] {
  const selectors: Selector[] = []
  let labels: string[] = []
  // `by (labels)`, or a name with its matchers, or a quoted text, or a range. The last two are skipped.
  const tokens = /by \(([^)]*)\)|([a-z_]\w*)(?:\{([^}]*)\})?|"[^"]*"|\[[^\]]*\]/g
  for (const [, grouped, name, matchers = ''] of expr.matchAll(tokens)) {
    if (grouped !== undefined) labels = grouped.split(', ')
    else if (name !== undefined && !functionNames.test(name)) {
      const matched = [...matchers.matchAll(/(\w+)(?==|!)/g)].map(([, label]) => label!)
      selectors.push({ metric: name, labels: [...labels, ...matched].filter((label) => !labelsOfPrometheus.test(label)) })
      labels = []
    }
  }
  return selectors
}

t.test('selectorsOf: reads the metrics and labels of a query', async (t) => {
  t.strictSame(selectorsOf('sum by (status, job) (rate(a_total{job=~"$job", code!="x"}[5m])) / sum(rate(b{}[$__x])) + max by (le) (c)'), [
    { metric: 'a_total', labels: ['status', 'code'] }, { metric: 'b', labels: [] }, { metric: 'c', labels: ['le'] }
  ])
})

/** The names of metrics, each with the labels of its samples. */
type Metrics = Map<string, Set<string>>

async function scrape (url: string): Promise<Metrics> {
  const metrics: Metrics = new Map()
  const text = await (await fetch(`${url}/metrics`)).text()
  for (const [, name, labels = ''] of text.matchAll(/^([a-z_]\w*)(?:\{(.*)\})? \S+$/gm)) {
    const labelsOfMetric = metrics.get(name!) ?? new Set()
    for (const [, label] of labels.matchAll(/(\w+)="/g)) labelsOfMetric.add(label!)
    metrics.set(name!, labelsOfMetric)
  }
  return metrics
}

interface Setup {
  url: string
  db: Db
  /** Blocks updates of maria. */
  lock: () => Promise<unknown>
  unlock: () => Promise<unknown>
}

/** Makes updates with different outcomes, so that each metric has a sample. */
async function scrapeAfterUpdates (t: Test, { url, db, lock, unlock }: Setup): Promise<Metrics> {
  await fill(db)
  const update = async (body: object) => (await send(url, { contactId: 'maria', ...body })).status
  for (const body of [{ name: 'A' }, {}, { contactId: 'none' }]) await update(body)
  await lock()
  t.equal(await update({ name: 'B' }), 503)
  await unlock()
  return await scrape(url)
}

/** Checks that the metrics of the panels exist. If a panel is for one engine only, its title begins with that engine. */
function checkPanels (t: Test, metrics: Metrics, engine: 'SQLite' | 'PostgreSQL'): void {
  for (const { title, targets } of panels.filter(({ title }) => !/^(SQLite|PostgreSQL):/.test(title) || title.startsWith(engine))) {
    for (const { metric, labels } of targets.flatMap(({ expr }) => selectorsOf(expr))) {
      t.ok(metrics.has(metric), `${title}: ${metric}`)
      for (const label of labels) t.ok(metrics.get(metric)?.has(label), `${title}: ${metric} has ${label}`)
    }
  }
}

sqlite.test('a file: serve has the metrics of the panels', async (t) => {
  const file = join(t.testdir(), 'a.db')
  const { url } = await serve(t, ['--database', file, '--metrics', '--log-level', 'silent'])
  const database = openFile(t, file)
  const metrics = await scrapeAfterUpdates(t, {
    url, db: sqliteDb(database), lock: async () => database.exec('BEGIN IMMEDIATE'), unlock: async () => database.exec('COMMIT')
  })
  checkPanels(t, metrics, 'SQLite')
  const queryOfJobs = templating.list.find(({ name }) => name === 'job')!.query
  const [, metricWithJobs] = /^label_values\((\w+), job\)$/.exec(queryOfJobs)!
  t.ok(metrics.has(metricWithJobs!))
})

postgres.test('a PostgreSQL server: serve has the metrics of the panels', async (t) => {
  const { db, url: database, close } = await openSchema()
  t.teardown(close)
  const { url } = await serve(t, ['--database', database, '--metrics', '--log-level', 'silent'])
  const metrics = await scrapeAfterUpdates(t, {
    url, db, lock: async () => { await lockMaria(db) }, unlock: async () => { await db.exec('ROLLBACK') }
  })
  checkPanels(t, metrics, 'PostgreSQL')
})
