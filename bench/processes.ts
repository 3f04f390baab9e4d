// Servers and the load are bundled to plain JavaScript first: a loader that adds code to functions for the sake of
// their names would slow down the contestants that are written here, and not the built plugin.

import { build } from 'esbuild'
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Hits, Shot } from './client.js'
import type { Question, ServerOptions } from './server.js'

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url))
// Beneath the package, where Node finds its dependencies.
export const bundles = path('../node_modules/.cache/bench')

export function removeBundles (): void {
  rmSync(bundles, { recursive: true, force: true })
}

export async function bundle (names = ['server', 'client', 'locker']): Promise<void> {
  await build({
    entryPoints: names.map((name) => path(`${name}.ts`)),
    outdir: bundles,
    outbase: path('.'),
    outExtension: { '.js': '.mjs' },
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20'
  })
}

export interface Server<Asked = Question> {
  port: number
  ask: <Answer>(question: Asked) => Promise<Answer>
}

export async function startServer (options: Omit<ServerOptions, 'dist'>, execArgv: string[] = []): Promise<Server> {
  return await startProcess('server', options, execArgv)
}

/** Starts a bundle that answers questions. */
export async function startProcess<Asked extends string> (name: string, options: object, execArgv: string[] = []): Promise<Server<Asked>> {
  const child = fork(`${bundles}/${name}.mjs`, [JSON.stringify({ ...options, dist: process.env.DIST ?? path('../dist') })], { execArgv: ['--expose-gc', ...execArgv] })
  const port = await answerOf<number>(child, 'answer')
  return {
    port,
    ask: async (question) => {
      const exit = question === 'stop' ? once(child, 'exit') : undefined
      child.send(question)
      const answer = await answerOf<never>(child, 'answer')
      await exit
      return answer
    }
  }
}

export interface Client {
  shoot: (shot: Shot) => Promise<Hits>
  stop: () => void
}

export function startClient (): Client {
  const child = fork(`${bundles}/client.mjs`, { execArgv: [] })
  return {
    shoot: async (shot) => {
      child.send(shot)
      return await answerOf<Hits>(child, 'hits')
    },
    stop: () => { child.disconnect() }
  }
}

/** Another process that takes the write lock of a file at once, and keeps it for a while. */
export async function lock (file: string, milliseconds: number): Promise<{ released: Promise<unknown> }> {
  const child = fork(`${bundles}/locker.mjs`, [file, String(milliseconds)], { execArgv: [] })
  await answerOf(child, 'answer')
  return { released: once(child, 'exit') }
}

export async function answerOf<Answer> (child: ChildProcess, key: string): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    const exited = (code: number | null): void => reject(new Error(`a process ended with ${code}`))
    child.once('exit', exited)
    child.once('message', (message: Record<string, unknown>) => {
      child.off('exit', exited)
      if ('error' in message) reject(new Error(String(message.error)))
      else resolve(message[key] as Answer)
    })
  })
}
