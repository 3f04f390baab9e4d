// A network between a pool and its server. What goes through arrives later, in order, in both directions.
//
// A timer of Node.js is only exact to a millisecond, so setImmediate waits for the rest.

import { connect, createServer, type Socket } from 'node:net'
import { answerQuestions } from './questions.js'

export interface ProxyOptions {
  /** The folders of the server's socket and of the proxy's. */
  server: string
  folder: string
  /** Milliseconds, each way. */
  latency: number
}

const socketName = '.s.PGSQL.5432'
const { server, folder, latency } = JSON.parse(process.argv[2]!) as ProxyOptions

function delay (from: Socket, to: Socket): void {
  const chunks: Array<{ due: number, chunk: Buffer }> = []
  const flush = (): void => {
    while (chunks[0] !== undefined && chunks[0].due <= performance.now()) to.write(chunks.shift()!.chunk)
    if (chunks[0] !== undefined) wait(chunks[0].due)
  }
  const wait = (due: number): void => {
    if (due - performance.now() > 0.5) setTimeout(flush, 1)
    else setImmediate(flush)
  }
  from.on('data', (chunk) => {
    chunks.push({ due: performance.now() + latency, chunk })
    if (chunks.length === 1) wait(chunks[0]!.due)
  })
  from.on('error', () => undefined)
  from.on('close', () => to.destroy())
}

const proxy = createServer((near) => {
  const far = connect(`${server}/${socketName}`)
  delay(near, far)
  delay(far, near)
})
proxy.listen(`${folder}/${socketName}`, () => answerQuestions(0, { stop: () => undefined }))
