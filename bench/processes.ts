// Bundles the servers to plain JavaScript, and starts them. tsx wraps functions to keep their names, which would slow the servers down.

import { build } from 'esbuild'
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url))
// Inside the package, where Node.js finds its dependencies.
const bundles = path('../node_modules/.cache/bench')

export async function bundle (): Promise<void> {
  process.on('exit', () => { rmSync(bundles, { recursive: true, force: true }) })
  await build({
    entryPoints: { server: path('targets/server.ts'), 'checkpoint-worker': path('../src/cli/serve/checkpoint-worker.ts'), proxy: path('proxy.ts') },
    outdir: bundles,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20'
  })
}

export interface Server {
  port: number
  call: <Answer>(command: string, ...values: unknown[]) => Promise<Answer>
}

/** Starts a bundle that runs the commands of this process. */
export async function startProcess (name: 'server' | 'proxy', options: object): Promise<Server> {
  const child = fork(`${bundles}/${name}.mjs`, [JSON.stringify(options)], { execArgv: ['--expose-gc'] })
  const port = await answerOf<number>(child)
  return {
    port,
    call: async (command, ...values) => {
      const exited = command === 'stop' ? once(child, 'exit') : undefined
      child.send([command, ...values])
      const answer = await answerOf<never>(child)
      await exited
      return answer
    }
  }
}

async function answerOf<Answer> (child: ChildProcess): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    const exited = (code: number | null): void => reject(new Error(`a process ended with ${code}`))
    child.once('exit', exited)
    child.once('message', (answer) => {
      child.off('exit', exited)
      resolve(answer as Answer)
    })
  })
}
