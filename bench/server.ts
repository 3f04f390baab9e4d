// One contestant, in a process of its own.

import Database from 'better-sqlite3'
import fastify from 'fastify'
import type { AddressInfo } from 'node:net'
import { answerQuestions } from './answers.js'
import { addByHand } from './contestants/by-hand.js'
import { addCeiling } from './contestants/ceiling.js'
import { loadDist } from './contestants/dist.js'
import { addPlainKysely } from './contestants/plain-kysely.js'
import { runInProcess } from './in-process.js'
import { watchTurns } from './turns.js'

export type Contestant = 'ceiling' | 'by hand' | 'plain Kysely' | 'plugin'

export interface ServerOptions {
  contestant: Contestant
  dist: string
  file: string
  synchronous: 'NORMAL' | 'FULL'
}

export type Question = 'cpu' | 'watch' | 'turns' | 'memory' | 'inProcess' | 'stop'

const { contestant, dist: folder, file, synchronous } = JSON.parse(process.argv[2] as string) as ServerOptions
const database = new Database(file)
database.pragma('journal_mode = WAL')
database.pragma(`synchronous = ${synchronous}`)
// As `serve` has it, for everybody: fewer pages are written twice.
database.pragma('wal_autocheckpoint = 10000')

const dist = await loadDist(folder)
const app = fastify()
switch (contestant) {
  case 'ceiling': addCeiling(app, dist, database); break
  case 'by hand': addByHand(app, dist, database); break
  case 'plain Kysely': addPlainKysely(app, dist, database); break
  case 'plugin': await app.register(dist.index.default, { database })
}
await app.listen({ host: '127.0.0.1', port: 0 })

let turns: ReturnType<typeof watchTurns> | undefined
const answers: Record<Question, () => unknown> = {
  cpu: () => process.cpuUsage(),
  watch: () => { turns = watchTurns() },
  turns: () => turns?.stop(),
  inProcess: async () => await runInProcess(dist, database),
  memory: () => {
    globalThis.gc?.()
    return process.memoryUsage()
  },
  stop: async () => {
    await app.close()
    database.close()
  }
}

answerQuestions(answers, (app.server.address() as AddressInfo).port)
