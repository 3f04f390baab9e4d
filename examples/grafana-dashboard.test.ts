// Each query of the dashboard uses metrics and labels that `serve --metrics` has.
//
//   npx tap --disable-coverage examples/grafana-dashboard.test.ts

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openFile } from '../test/cli/files.js'
import { serve, update as send } from '../test/cli/io.js'
import { fill } from '../test/helpers/build.js'
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

/** Reads the part of PromQL that the dashboard uses. The labels of a `by` belong to the selector after it. */
function selectorsOf (expr: string): Selector[] {
  const selectors: Selector[] = []
  let labels: string[] = []
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

const wanted = panels.flatMap(({ title, targets }) => targets.flatMap(({ expr }) => selectorsOf(expr).map((selector) => ({ title, ...selector }))))
const isFor = (engine: 'SQLite' | 'PostgreSQL') => ({ title }: { title: string }): boolean =>
  !/^(SQLite|PostgreSQL):/.test(title) || title.startsWith(engine)

/** Names of metrics, each with the labels of its samples. */
async function scrape (url: string): Promise<Map<string, Set<string>>> {
  const samples = new Map<string, Set<string>>()
  for (const [, name, labels = ''] of (await (await fetch(`${url}/metrics`)).text()).matchAll(/^([a-z_]\w*)(?:\{(.*)\})? \S+$/gm)) {
    const known = samples.get(name!) ?? new Set()
    for (const [, label] of labels.matchAll(/(\w+)="/g)) known.add(label!)
    samples.set(name!, known)
  }
  return samples
}

async function scrapeAfterUpdates (
  t: Test, url: string, db: Db, lock: () => Promise<unknown>, unlock: () => Promise<unknown>
): Promise<Map<string, Set<string>>> {
  await fill(db)
  const update = async (body: object) => (await send(url, { contactId: 'maria', ...body })).status
  for (const body of [{ name: 'A' }, {}, { contactId: 'none' }]) await update(body)
  await lock()
  t.equal(await update({ name: 'B' }), 503)
  await unlock()
  return await scrape(url)
}

sqlite.test('a file: serve has the metrics of the panels', async (t) => {
  const file = join(t.testdir(), 'a.db')
  const { url } = await serve(t, ['--database', file, '--metrics', '--log-level', 'silent'])
  const database = openFile(t, file)
  const samples = await scrapeAfterUpdates(t, url, sqliteDb(database), async () => database.exec('BEGIN IMMEDIATE'), async () => database.exec('COMMIT'))
  for (const { title, metric, labels } of wanted.filter(isFor('SQLite'))) {
    for (const label of labels) t.ok(samples.get(metric)?.has(label), `${title}: ${metric} has ${label}`)
    t.ok(samples.has(metric), `${title}: ${metric}`)
  }
  const [, asked] = /^label_values\((\w+), job\)$/.exec(templating.list.find(({ name }) => name === 'job')!.query)!
  t.ok(samples.has(asked!))
})

postgres.test('a PostgreSQL server: serve has the metrics of the panels', async (t) => {
  const { db, url: database, close } = await openSchema()
  t.teardown(close)
  const { url } = await serve(t, ['--database', database, '--metrics', '--log-level', 'silent'])
  const lock = async (): Promise<void> => { await db.exec("BEGIN; UPDATE omnichannel_contact SET name = name WHERE id = 'maria'") }
  const samples = await scrapeAfterUpdates(t, url, db, lock, async () => { await db.exec('ROLLBACK') })
  for (const { title, metric, labels } of wanted.filter(isFor('PostgreSQL'))) {
    for (const label of labels) t.ok(samples.get(metric)?.has(label), `${title}: ${metric} has ${label}`)
    t.ok(samples.has(metric), `${title}: ${metric}`)
  }
})
