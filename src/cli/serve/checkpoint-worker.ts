// The program of the worker thread that `serve` starts for checkpoints.

import { parentPort, workerData, type MessagePort } from 'node:worker_threads'
import { checkpointRepeatedly, type CheckpointDatabase, type WorkerSettings } from './checkpoints.js'

async function open ({ file, usesNodeSqlite }: WorkerSettings): Promise<CheckpointDatabase> {
  if (usesNodeSqlite) {
    const { DatabaseSync } = process.getBuiltinModule('node:sqlite') as { DatabaseSync: new (file: string) => CheckpointDatabase }
    return new DatabaseSync(file)
  }
  const { default: Database } = await import('better-sqlite3')
  return new Database(file)
}

async function run (settings: WorkerSettings, port: MessagePort): Promise<void> {
  const database = await open(settings)
  checkpointRepeatedly(database, settings.autocheckpoint, (problem) => { port.postMessage(problem) })
}

// Not `await run(…)`: the single executable file needs CommonJS, which has no top-level await. If `run` rejects, the worker ends.
void run(workerData as WorkerSettings, parentPort as MessagePort)
