// The scenarios that are measured on each engine, and the goals.

import { describeMachine } from './machine.js'
import { cpu, latency, ratioOf, speed } from './ratios.js'
import { row, type Report } from './report.js'
import { runScenario, type Context, type ScenarioResult, type Target } from './run.js'
import { measureInProcess, measureMemory, measureTurns } from './single-target.js'
import type { TargetName } from './targets/server.js'
import { compareAnswers } from './compare-answers.js'

type PrintStep = (step: string) => void

/** A quick run shows that everything works. Its figures mean nothing. */
export async function benchSqlite (context: Context, isQuick: boolean, printStep: PrintStep): Promise<Report> {
  const target = (name: TargetName, synchronous: 'NORMAL' | 'FULL' = 'NORMAL', contacts = 10_000): Target => ({ name, synchronous, contacts })
  const run = async (what: string, connections: number, targets: Target[]): Promise<ScenarioResult> => {
    printStep(what)
    return await runScenario(context, { connections, targets })
  }
  const writers: TargetName[] = ['by hand', 'plain Kysely', 'plugin']
  const { manyContacts, loadMs, lockMs, updates } = isQuick
    ? { manyContacts: 20_000, loadMs: 500, lockMs: 300, updates: 500 }
    : { manyContacts: 1_000_000, loadMs: 25_000, lockMs: 2000, updates: 5000 }

  const machine = describeMachine(context.folder)
  printStep(`the targets answer ${await compareAnswers(context, writers.map((name) => target(name, 'NORMAL', 1000)))} requests alike`)
  const normal = await run('32 connections, NORMAL', 32, [target('empty route'), ...writers.map((name) => target(name))])
  const full = await run('32 connections, FULL', 32, writers.map((name) => target(name, 'FULL')))
  const single = await run('1 connection', 1, [target('by hand'), target('plugin')])
  const million = await run('a million contacts', 32, [target('plugin', 'NORMAL', 1000), target('by hand', 'NORMAL', manyContacts), target('plugin', 'NORMAL', manyContacts)])
  const served = await run('serve', 32, [target('serve', 'FULL'), target('serve without worker', 'FULL')])
  printStep('event loop')
  const turns = await measureTurns(context, target('serve', 'FULL'), { connections: 256, loadMs })
  const turnsWhileLocked = await measureTurns(context, target('plugin'), { connections: 32, loadMs: 500, lockMs })
  printStep('in process')
  const inProcess = await measureInProcess(context, target('plugin'), updates)
  printStep('memory')
  const [fewUpdates, manyUpdates] = [2 * updates, 20 * updates]
  const memory = await measureMemory(context, target('plugin'), fewUpdates, manyUpdates)
  const compared = `after ${manyUpdates.toLocaleString('en')} updates, against after ${fewUpdates.toLocaleString('en')}`

  return {
    machine,
    rows: [
      row('updates a second, against by hand', ratioOf(normal, speed, 'plugin', 'by hand'), { atLeast: 2 }),
      row('against plain Kysely', ratioOf(normal, speed, 'plugin', 'plain Kysely'), { atLeast: 6 }),
      row('against an empty route', ratioOf(normal, speed, 'plugin', 'empty route'), { atLeast: 0.42 }),
      row('updates a second at FULL, against by hand', ratioOf(full, speed, 'plugin', 'by hand'), { atLeast: 3.2 }),
      row('at FULL, against plain Kysely', ratioOf(full, speed, 'plugin', 'plain Kysely')),
      row('latency of 1 connection, against by hand', ratioOf(single, latency, 'plugin', 'by hand'), { atMost: 1 }),
      row('updates a second with a million contacts, against by hand', ratioOf(million, speed, { name: 'plugin', contacts: manyContacts }, 'by hand')),
      row('with a million contacts, against a thousand', ratioOf(million, speed, { name: 'plugin', contacts: manyContacts }, { name: 'plugin', contacts: 1000 })),
      row('`serve`: updates a second with the worker for checkpoints, against without', ratioOf(served, speed, 'serve', 'serve without worker'), { atLeast: 0.95 }),
      row('`serve`: event loop held at 256 connections, 99.9 % of turns', turns.p999, { atMost: 15 }, ' ms'),
      row('`serve`: the longest of these turns', turns.longest, { atMost: 25 }, ' ms'),
      row(`event loop held while another process has the write lock for ${lockMs} ms`, turnsWhileLocked.longest, { atMost: 50 }, ' ms'),
      row('processor time of an update without HTTP, 32 at a time', inProcess, { atMost: 47 }, ' µs'),
      row(`resident memory ${compared}`, memory.many.rss / memory.few.rss, { atMost: 1.1 }),
      row(`heap ${compared}`, memory.many.heapUsed / memory.few.heapUsed, { atMost: 1.1 })
    ],
    scenarios: { normal, full, single, million, served },
    figures: { turns: { serve: turns, 'plugin while locked': turnsWhileLocked }, inProcess, memory }
  }
}

export async function benchPostgres (context: Context, printStep: PrintStep): Promise<Report> {
  const target = (name: TargetName, latency: 0 | 1 = 0, nodes = 1): Target => ({ name, latency, nodes, contacts: 1000 })
  const writers: TargetName[] = ['by hand', 'by hand, pipelined', 'plugin']

  const machine = describeMachine(context.folder)
  printStep(`the targets answer ${await compareAnswers(context, writers.map((name) => target(name)))} requests alike`)
  printStep('32 connections')
  const near = await runScenario(context, {
    connections: 32, targets: [target('empty route'), ...writers.map((name) => target(name)), target('plugin', 0, 2)]
  })
  printStep('1 connection, 1 ms added each way')
  // A round trip takes long, so a warm-up of thousands of requests would take minutes.
  const far = await runScenario({ ...context, warmUp: Math.min(context.warmUp, 1000) }, {
    connections: 1, targets: writers.map((name) => target(name, 1))
  })

  return {
    machine,
    rows: [
      row('processor time of an update, app and server, against by hand', ratioOf(near, cpu, 'plugin', 'by hand'), { atMost: 0.65 }),
      row('the same against by hand, pipelined', ratioOf(near, cpu, 'plugin', 'by hand, pipelined')),
      row('updates a second, against by hand', ratioOf(near, speed, 'plugin', 'by hand')),
      row('the same against by hand, pipelined', ratioOf(near, speed, 'plugin', 'by hand, pipelined')),
      row('requests a second, against an empty route', ratioOf(near, speed, 'plugin', 'empty route')),
      row('processor time of an update, two nodes against one', ratioOf(near, cpu, { name: 'plugin', nodes: 2 }, 'plugin'), { atMost: 1.15 }),
      row('latency with 1 ms added each way, 1 connection, against by hand', ratioOf(far, latency, 'plugin', 'by hand'), { atMost: 0.35 }),
      row('the same against by hand, pipelined', ratioOf(far, latency, 'plugin', 'by hand, pipelined'))
    ],
    scenarios: { near, far },
    figures: {}
  }
}
