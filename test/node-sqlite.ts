// node:sqlite for tests. This Node.js may lack it, and @types/node of the lowest Node.js does.

import { loadNodeSqlite } from '../src/cli/node-sqlite.js'
import type { NodeSqliteDatabase, NodeSqliteStatement } from '../src/store/sqlite/handle.js'

export interface Handle extends NodeSqliteDatabase {
  prepare (sql: string): NodeSqliteStatement & {
    iterate: (...values: unknown[]) => Iterator<unknown>
    setAllowBareNamedParameters: (enabled: boolean) => unknown
  }
  close (): void
}

const sqlite = process.getBuiltinModule('node:sqlite') as { DatabaseSync: new (file: string, options?: object) => Handle } | undefined

export const DatabaseSync = sqlite?.DatabaseSync as new (file: string, options?: object) => Handle

/** Why tests of node:sqlite cannot run. False if they can. */
export const skip = loadNodeSqlite() !== undefined ? false : 'this Node.js has no node:sqlite that reads whole texts'
