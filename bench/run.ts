// Runs a scenario: sends the same load to some targets, one after the other, in several rounds.

import { runLoad, type LoadResult } from './load.js'
import { createDatabase, query } from './postgres-database.js'
import { startProcess, type Server } from './processes.js'
import { processorTime } from './postgres-processor-time.js'
import { countUpdates } from './initial-rows.js'
import { createFile, readRow, removeFile } from './sqlite-database.js'
import type { ServerOptions, TargetName } from './targets/server.js'

export type Target = { name: TargetName, contacts: number } & (
  { synchronous: 'NORMAL' | 'FULL' } |
  /** `latency` is added each way between server and database, in milliseconds. `nodes` is how many servers share the load. */
  { latency: 0 | 1, nodes: number }
)

export interface Scenario {
  targets: Target[]
  connections: number
}

/** Where and how long to measure. */
export interface Context {
  /** The databases are created here. */
  folder: string
  /** `socketFolder` is the folder of PostgreSQL's socket, and `proxyFolder` that of the proxy's, which adds latency. `postmaster` is a process id. */
  postgres?: { socketFolder: string, proxyFolder: string, postmaster: number }
  /** How many requests each server gets first. V8 optimises code during some thousands of them. */
  warmUp: number
  rounds: number
  /** The approximate length of a round of one target. */
  roundMs: number
}

export type Run = LoadResult & {
  /** Microseconds of processor time a request. */
  appCpu: number
  databaseCpu: number
}

export interface ScenarioResult extends Scenario {
  /** The runs of each target, in the order of the targets. */
  runs: Run[][]
}

export class RunningTarget {
  #sent = 0
  #perSecond = 0

  private constructor (
    readonly target: Target, readonly servers: Server[], readonly database: string,
    private readonly context: Context
  ) {}

  static async start (context: Context, target: Target): Promise<RunningTarget> {
    const { name, contacts } = target
    const isSqlite = 'synchronous' in target
    const database = isSqlite ? await createFile(context.folder, contacts) : await createDatabase(context.postgres!.socketFolder, contacts)
    const options: ServerOptions = isSqlite
      ? { name, contacts, file: database, synchronous: target.synchronous }
      : { name, contacts, database, host: target.latency === 0 ? context.postgres!.socketFolder : context.postgres!.proxyFolder }
    const servers: Server[] = []
    for (let node = 0; node < (isSqlite ? 1 : target.nodes); node++) servers.push(await startProcess('server', options))
    return new RunningTarget(target, servers, database, context)
  }

  async load (connections: number, requests: number): Promise<Run> {
    const before = await this.#cpu()
    const result = await runLoad({
      ports: this.servers.map(({ port }) => port), contacts: this.target.contacts, connections, requests, firstRequest: this.#sent
    })
    const after = await this.#cpu()
    this.#sent += requests
    this.#perSecond = result.perSecond
    return { ...result, appCpu: (after.app - before.app) / requests, databaseCpu: (after.database - before.database) / requests }
  }

  /** Sends as many requests as this target should answer in this time, from its last speed. So no request is unanswered at the end. */
  async loadFor (connections: number, milliseconds: number): Promise<Run> {
    return await this.load(connections, Math.max(2 * connections, Math.round(this.#perSecond * milliseconds / 1000)))
  }

  /** Sends the requests of the warm-up to each server. */
  async warmUp (connections: number): Promise<void> {
    // More connections than the scenario has, because one connection would take long.
    await this.load(Math.max(connections, 32), Math.max(connections, this.context.warmUp * this.servers.length))
    // The speed with the right number of connections, for `loadFor`.
    await this.load(connections, 10 * connections)
  }

  async call<Answer> (command: string, ...values: unknown[]): Promise<Answer> {
    return await this.servers[0]!.call<Answer>(command, ...values)
  }

  /** Stops the servers. Throws unless every acknowledged update is in the database, once and complete. */
  async stop (): Promise<void> {
    const { target, database, context } = this
    for (const server of this.servers) await server.call('stop')
    if (target.name !== 'empty route') {
      const counts = 'synchronous' in target ? readRow(database, countUpdates) : (await query(context.postgres!.socketFolder, database, countUpdates))[0]
      const { updates, torn } = counts as { updates: unknown, torn: unknown }
      if (Number(updates) !== this.#sent || Number(torn) > 0) {
        throw new Error(`${target.name} acknowledged ${this.#sent} updates and holds ${updates}, with ${torn} rows of another name`)
      }
    }
    this.remove()
  }

  remove (): void {
    if ('synchronous' in this.target) removeFile(this.database)
  }

  async #cpu (): Promise<{ app: number, database: number }> {
    let app = 0
    for (const server of this.servers) app += await server.call<number>('cpu')
    return { app, database: 'synchronous' in this.target ? 0 : processorTime(this.context.postgres!.postmaster) }
  }
}

export async function runScenario (context: Context, { targets, connections }: Scenario): Promise<ScenarioResult> {
  const running: RunningTarget[] = []
  for (const target of targets) running.push(await RunningTarget.start(context, target))
  for (const target of running) await target.warmUp(connections)
  const runs: Run[][] = running.map(() => [])
  for (let round = 0; round < context.rounds; round++) {
    for (const [index, target] of running.entries()) runs[index]!.push(await target.loadFor(connections, context.roundMs))
  }
  for (const target of running) await target.stop()
  return { targets, connections, runs }
}
