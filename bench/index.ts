// npm run bench [-- --full] [-- --json FILE] [-- --folder DIRECTORY]
//
// The short form takes about two minutes; --full adds every load, number of connections and size, and a million
// updates for the memory. Nothing is sent to anywhere but 127.0.0.1.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { loads, type LoadName } from './loads.js'
import { describeMachine } from './machine.js'
import { measure, measureLocked, measureMemory, measureTurns, type Cell, type Entrant, type Result } from './measure.js'
import { bundle, removeBundles, startClient } from './processes.js'
import { figures, holds, thresholds, type Report } from './report.js'
import type { Contestant } from './server.js'
import { verify } from './verify.js'

const { values: options } = parseArgs({
  options: { full: { type: 'boolean', default: false }, json: { type: 'string' }, folder: { type: 'string', default: tmpdir() } }
})
const everybody: Contestant[] = ['ceiling', 'by hand', 'plain Kysely', 'plugin']
const both: Contestant[] = ['by hand', 'plugin']
const rounds = options.full ? 9 : 5

function cell (load: LoadName, connections: number, contestants: Contestant[], synchronous: Entrant['synchronous'] = 'NORMAL', contacts = 1000): Cell {
  return { load, connections, entrants: contestants.map((contestant) => ({ contestant, synchronous, contacts })) }
}

const start = performance.now()
function say (what: string): void {
  process.stderr.write(`${((performance.now() - start) / 1000).toFixed(0).padStart(5)} s  ${what}\n`)
}

async function run (folder: string): Promise<Report> {
  const client = startClient()
  const workshop = { folder, client }
  const plain = (contestant: Contestant): Entrant => ({ contestant, synchronous: 'NORMAL', contacts: 1000 })
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
    const machine = describeMachine(folder)
    say(`the contestants answer ${await verify(workshop)} questions alike`)
    const form = await race(cell('form', 32, everybody), 1200)
    const full = await race(cell('form', 32, both, 'FULL'), 1000)
    const single = await race(cell('form', 1, both), 700)
    say('building a million contacts')
    const sizes = [1000, 1_000_000].flatMap((contacts) => cell('form', 32, options.full ? ['plugin', 'by hand'] : ['plugin'], 'NORMAL', contacts).entrants)
    const million = await race({ load: 'form', connections: 32, entrants: sizes }, 1200)
    say('event loop')
    const turns = await each(everybody, async (entrant) => await measureTurns(workshop, entrant, 256, options.full ? 15_000 : 3000))
    const locked = await each(both, async (entrant) => await measureLocked(workshop, entrant, 2000))
    say('memory')
    const [few, many] = options.full ? [10_000, 1_000_000] : [10_000, 100_000]
    const memory = await each(['plugin'], async (entrant) => ({ few, many, after: await measureMemory(workshop, entrant, few, many) }))
    const more: Result[] = []
    if (options.full) for (const what of everythingElse()) more.push(await race(what, 1500))
    return { machine, form, full, single, million, more, turns, locked, memory }
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
  for (const contacts of [100_000, 1_000_000]) {
    yield cell('form', 32, everybody, 'NORMAL', contacts)
    yield cell('form', 32, everybody, 'FULL', contacts)
  }
}

const folder = mkdtempSync(join(options.folder, 'bench-'))
process.on('exit', () => {
  rmSync(folder, { recursive: true, force: true })
  removeBundles()
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1))

await bundle()
const report = await run(folder)
const machine = Object.entries(report.machine).map(([name, value]) => `- ${name}: ${value}`).join('\n')
console.log(`\n${machine}\n\n${thresholds(report)}\n\n${holds(report)}\n\n${figures(report)}`)
if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`)
say('done')
