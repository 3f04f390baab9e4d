// The contestants on SQLite. --full adds every load, number of connections and size, and a million updates for the memory.

import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { chart } from './chart.js'
import { loads, type LoadName } from './loads.js'
import { describeMachine, sqliteVersion } from './machine.js'
import { measure, measureInProcess, measureLocked, measureMemory, measureTurns, type Cell, type Entrant, type Result } from './measure.js'
import { bundle, startClient } from './processes.js'
import { figures, holds, thresholds, type Report } from './report.js'
import { say } from './say.js'
import type { Contestant } from './server.js'
import { verify } from './verify.js'

const everybody: Contestant[] = ['ceiling', 'by hand', 'plain Kysely', 'plugin']
const both: Contestant[] = ['by hand', 'plugin']

function cell (load: LoadName, connections: number, contestants: Contestant[], synchronous: Entrant['synchronous'] = 'NORMAL', contacts = 10_000): Cell {
  return { load, connections, entrants: contestants.map((contestant) => ({ contestant, synchronous, contacts })) }
}

export const minutes = { short: 4, full: 60 }

export async function bench (options: { full: boolean, folder: string }): Promise<{ report: Report, tables: string[], picture: string }> {
  const folder = mkdtempSync(join(options.folder, 'bench-'))
  process.on('exit', () => { rmSync(folder, { recursive: true, force: true }) })
  await bundle()
  const report = await run(folder, options.full)
  return { report, tables: [thresholds(report), holds(report), figures(report)], picture: chart(report) }
}

async function run (folder: string, isFull: boolean): Promise<Report> {
  const rounds = isFull ? 9 : 5
  const client = startClient()
  const workshop = { folder, client }
  const plain = (contestant: Contestant): Entrant => ({ contestant, synchronous: 'NORMAL', contacts: 10_000 })
  const race = async (what: Cell, milliseconds: number): Promise<Result> => {
    const [first] = what.entrants
    say(`${what.load}, ${what.connections} connections, ${first?.synchronous}, ${what.entrants.map(({ contestant, contacts }) => `${contestant} ${contacts}`).join(', ')}`)
    return await measure(workshop, what, rounds, milliseconds)
  }
  const each = async <Figure>(contestants: Contestant[], ask: (entrant: Entrant) => Promise<Figure>): Promise<Record<string, Figure>> => {
    const figures: Record<string, Figure> = {}
    for (const contestant of contestants) figures[contestant] = await ask(plain(contestant))
    return figures
  }
  try {
    const machine = { ...describeMachine(folder, ['better-sqlite3', 'kysely', 'fastify']), sqlite: sqliteVersion() }
    say(`the contestants answer ${await verify(workshop)} questions alike`)
    const form = await race(cell('form', 32, everybody), 1200)
    const full = await race(cell('form', 32, both, 'FULL'), 1000)
    const single = await race(cell('form', 1, both), 700)
    say('building a million contacts')
    const sizes = [...cell('form', 32, ['plugin'], 'NORMAL', 1000).entrants, ...cell('form', 32, both, 'NORMAL', 1_000_000).entrants]
    const million = await race({ load: 'form', connections: 32, entrants: sizes }, 1500)
    say('event loop, at 256 connections and under a lock')
    const turns = await each(isFull ? everybody : ['ceiling', 'plugin'], async (entrant) => await measureTurns(workshop, entrant, 256, isFull ? 120_000 : 25_000))
    const locked = await each(both, async (entrant) => await measureLocked(workshop, entrant, 2000))
    say('in process')
    const inProcess = await measureInProcess(workshop, plain('plugin'))
    say('memory')
    const [few, many] = isFull ? [10_000, 1_000_000] : [10_000, 100_000]
    const memory = await each(['plugin'], async (entrant) => ({ few, many, after: await measureMemory(workshop, entrant, few, many) }))
    const more: Result[] = []
    if (isFull) for (const what of everythingElse()) more.push(await race(what, 1500))
    return { machine, form, full, single, million, more, turns, locked, inProcess, memory }
  } finally {
    client.stop()
  }
}

function * everythingElse (): Generator<Cell> {
  for (const load of Object.keys(loads) as LoadName[]) {
    for (const connections of [1, 32, 256]) {
      yield cell(load, connections, everybody)
      if (loads[load].writes) yield cell(load, connections, everybody, 'FULL')
    }
  }
  for (const contacts of [1000, 100_000, 1_000_000]) {
    yield cell('form', 32, everybody, 'NORMAL', contacts)
    yield cell('form', 32, everybody, 'FULL', contacts)
  }
}
