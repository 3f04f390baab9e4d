// Runs in the worker thread that `serve` starts for checkpoints.

import { parentPort, workerData, type MessagePort } from 'node:worker_threads'
import { checkpointRepeatedly, type CheckpointDatabase, type WorkerSettings } from './checkpoints.js'

type DatabaseClass = new (file: string) => CheckpointDatabase

async function run ({ file, usesNodeSqlite, autocheckpoint }: WorkerSettings, port: MessagePort): Promise<void> {
  const Database: DatabaseClass = usesNodeSqlite
    ? (process.getBuiltinModule('node:sqlite') as { DatabaseSync: DatabaseClass }).DatabaseSync
    : (await import('better-sqlite3')).default
  checkpointRepeatedly(new Database(file), autocheckpoint, (problem) => { port.postMessage(problem) })
}

// The single executable needs CommonJS, which has no top-level await. If `run` rejects, the worker ends.
void run(workerData as WorkerSettings, parentPort as MessagePort)
