// Starts app nodes, each in a process of its own.

import { fork } from 'node:child_process'
import { once } from 'node:events'

export type NodeOptions = { file: string, journal: string, synchronous: string, checkpoints: string } | { host: string, lockTimeout: number }

export interface AppNode {
  port: number
  hasEnded: () => boolean
  /** Sends SIGKILL at once, and resolves when the process has ended. */
  kill: () => Promise<void>
}

export async function startNode (options: NodeOptions): Promise<AppNode> {
  const child = fork(new URL('server.ts', import.meta.url), [JSON.stringify(options)], { execArgv: ['--import', 'tsx'] })
  const exited = once(child, 'exit')
  const [port] = await Promise.race([once(child, 'message'), exited]) as [number]
  const hasEnded = (): boolean => child.exitCode !== null || child.signalCode !== null
  if (hasEnded()) throw new Error(`an app node ended with ${child.exitCode ?? child.signalCode}`)
  return {
    port,
    hasEnded,
    kill: async () => {
      child.kill('SIGKILL')
      await exited
    }
  }
}
