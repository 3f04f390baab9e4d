// A proxy between a pool and its server. At chosen statements it injects the faults of networks, servers and failovers.

import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { postgresHost } from '../../helpers/postgres.js'
import { createPlan } from './explore.js'

/** Fields of an ErrorResponse or a NoticeResponse, by their letters: C is the SQLSTATE, R the routine, S the severity, t the table, c the column. */
export type Fields = Record<string, string>

/** What happens at a statement. */
export type Fault =
  /** The connection is lost before the statement arrives, or after the server has run it and all that was sent with it. */
  | { do: 'cut-before' | 'cut-after' } |
  /** From this statement on, the server gets no statement, or the client gets no answer. */
  { do: 'hold-before' | 'hold-after' } |
  /** The server refuses the statement. A refused COMMIT rolls the transaction back. */
  { do: 'refuse', fields: Fields } |
  /** The server runs the statement, then sends this error and ends the connection. */
  { do: 'refuse-after', fields: Fields } |
  /** A NoticeResponse comes with the answer. */
  { do: 'notice', fields: Fields } |
  /** The answer, and in the same chunk the message that the server ends the connection. */
  { do: 'shutdown' } |
  /** COMMIT rolls back, and its answer says so. */
  { do: 'tag-rollback' } |
  /** Something happens elsewhere, before the statement arrives or before its answer does. */
  { do: 'meanwhile-before' | 'meanwhile-after', run: () => Promise<unknown> }

export interface Injection {
  fault: Fault
  /** The text of the statement; 'connect' is the beginning of a connection. */
  at: RegExp
  after?: number
  times?: number
}

interface Step {
  text: string
  fault?: Fault | undefined
}

export async function openProxy () {
  const real = join(await postgresHost(), '.s.PGSQL.5432')
  const folder = mkdtempSync(join(tmpdir(), 'omnichannel-proxy-'))
  const sockets = new Set<Socket>()
  const plan = createPlan<Injection>()
  const server = createServer((client) => {
    const upstream = connect(real)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => sockets.delete(socket))
    }
    client.on('close', () => upstream.destroy())
    upstream.on('close', () => client.destroy())
    relay(client, upstream, (text) => plan.meet(text)?.fault)
  })
  await new Promise<void>((resolve) => server.listen(join(folder, '.s.PGSQL.5432'), resolve))
  return {
    host: folder,
    plan,
    close: () => {
      server.close()
      for (const socket of sockets) socket.destroy()
      rmSync(folder, { recursive: true, force: true })
    }
  }
}

function relay (client: Socket, upstream: Socket, take: (text: string) => Fault | undefined): void {
  const statements = new Map<string, string>()
  /** What the server has not answered yet. */
  const pending: Array<Step | 'sync'> = []
  let [ignoresClient, isSkipping, ignoresServer] = [false, false, false]
  let parsesToHide = 0
  let atReady: 'cut' | 'shutdown' | undefined
  let answered: () => void = () => undefined

  const cut = (): void => {
    client.destroy()
    upstream.destroy()
  }

  /** Resolves when the server has run all statements that it was sent. */
  async function flush (): Promise<void> {
    upstream.write(message('H'))
    while (pending.some((step) => step !== 'sync')) await new Promise<void>((resolve) => { answered = resolve })
  }

  async function begin (step: Step, forward: () => void): Promise<void> {
    const { fault } = step
    switch (fault?.do) {
      case 'cut-before': return cut()
      case 'hold-before': ignoresClient = true; return
      case 'meanwhile-before':
        await flush()
        await fault.run()
        break
      case 'refuse': case 'tag-rollback': {
        // The statement fails in the server too, so that its transaction is aborted.
        const isCommit = step.text === 'COMMIT'
        const text = isCommit ? 'ROLLBACK' : "DO $$ BEGIN RAISE EXCEPTION 'the explorer' USING ERRCODE = 'XX000'; END $$"
        parsesToHide++
        isSkipping = true
        upstream.write(Buffer.concat([message('P', `\0${text}\0\0\0`), message('B', '\0\0\0\0\0\0\0\0'), message('E', '\0\0\0\0\0')]))
        pending.push(step)
        return
      }
    }
    pending.push(step)
    forward()
  }

  async function fromClient (type: string, data: Buffer): Promise<void> {
    if (ignoresClient) return
    const forward = (): void => { upstream.write(data) }
    if (type === '') {
      const fault = take('connect')
      if (fault?.do === 'cut-before') return cut()
      if (fault?.do === 'hold-before') {
        ignoresClient = true
        return
      }
      if (fault?.do === 'refuse') return void client.end(response('E', { S: 'FATAL', M: 'refused', ...fault.fields }))
      if (fault?.do === 'shutdown') atReady = 'shutdown'
      return forward()
    }
    if (isSkipping && (type === 'D' || type === 'E')) {
      isSkipping = type === 'D'
      return
    }
    const [first = '', second = ''] = data.toString('utf8', 5).split('\0')
    if (type === 'P') statements.set(first, second)
    if (type === 'B') {
      const text = statements.get(second) ?? ''
      return await begin({ text, fault: take(text) }, forward)
    }
    if (type === 'Q') {
      await begin({ text: first, fault: take(first) }, forward)
      if (isSkipping) upstream.write(message('S'))
      isSkipping = false
      pending.push('sync')
      return
    }
    if (type === 'S') pending.push('sync')
    forward()
  }

  async function fromServer (type: string, data: Buffer): Promise<void> {
    const send = (answer: Buffer = data): void => { if (!ignoresServer) client.write(answer) }
    if (type === '1' && parsesToHide > 0) { parsesToHide--; return }
    if (type === 'C' || type === 'I') {
      // A query of several statements has several answers.
      const fault = pending[0] === 'sync' ? undefined : (pending.shift() as Step).fault
      answered()
      switch (fault?.do) {
        case 'cut-after': [ignoresServer, atReady] = [true, 'cut']; break
        case 'hold-after': ignoresServer = true; break
        case 'meanwhile-after': await fault.run(); break
        case 'notice': send(response('N', { S: 'WARNING', M: 'a notice', ...fault.fields })); break
        case 'shutdown': atReady = 'shutdown'; break
        case 'refuse': send(response('E', { S: 'ERROR', M: 'refused', ...fault.fields })); return
        case 'refuse-after':
          client.end(response('E', { S: 'FATAL', M: 'gone', ...fault.fields }))
          ignoresServer = true
          return
      }
      return send()
    }
    if (type === 'E') {
      const step = pending[0]
      const end = pending.indexOf('sync')
      pending.splice(0, end === -1 ? pending.length : end)
      answered()
      if (step === undefined || step === 'sync' || step.fault?.do !== 'refuse') return send()
      const { fields } = step.fault
      send(response('E', { S: 'ERROR', M: 'refused', ...fields }))
      if (fields.S === 'FATAL') client.end()
      return
    }
    if (type === 'Z') {
      if (pending[0] === 'sync') pending.shift()
      if (atReady === 'shutdown') {
        client.end(Buffer.concat([data, response('E', { S: 'FATAL', C: '57P01', M: 'terminating connection due to administrator command' })]))
        ignoresServer = true
        return
      }
      if (atReady === 'cut') return cut()
    }
    send()
  }

  inOrder(client, fromClient, true)
  inOrder(upstream, fromServer, false)
}

/** Calls `handle` with one message after the other. The first of a client has no type. */
function inOrder (socket: Socket, handle: (type: string, data: Buffer) => Promise<void>, isClient: boolean): void {
  let [rest, isFirst, last] = [Buffer.alloc(0), isClient, Promise.resolve()]
  socket.on('data', (chunk) => {
    rest = Buffer.concat([rest, chunk])
    for (;;) {
      const header = isFirst ? 0 : 1
      if (rest.length < header + 4) return
      const size = header + rest.readInt32BE(header)
      if (rest.length < size) return
      const [type, data] = [isFirst ? '' : String.fromCharCode(rest[0]!), rest.subarray(0, size)]
      ;[rest, isFirst] = [rest.subarray(size), false]
      last = last.then(async () => { await handle(type, data) })
    }
  })
}

function message (type: string, body = ''): Buffer {
  const data = Buffer.from(`${type}\0\0\0\0${body}`)
  data.writeInt32BE(data.length - 1, 1)
  return data
}

/** An ErrorResponse or a NoticeResponse. */
function response (type: 'E' | 'N', fields: Fields): Buffer {
  return message(type, `${Object.entries({ V: fields.S ?? '', ...fields }).map(([letter, text]) => `${letter}${text}\0`).join('')}\0`)
}
