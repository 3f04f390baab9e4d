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
  { do: 'answer-rollback' } |
  /** The statement arrives after `run` has ended. */
  { do: 'run-before', run: () => Promise<unknown> }

/** Whether the server or the client waits in vain from this fault on. */
export function isSilent (fault: Fault): boolean {
  return fault.do === 'hold-before' || fault.do === 'hold-after'
}

export interface Injection {
  fault: Fault
  /** Matches the text of the statement. 'connect' is the beginning of a connection. */
  at: RegExp
  /** The number of matching statements that pass before the fault happens. Default 0. */
  skip?: number
  /** How often it happens. Default 1. */
  times?: number
}

/** The types of messages that the proxy looks at. https://www.postgresql.org/docs/current/protocol-message-formats.html */
const TO_SERVER = { bind: 'B', describe: 'D', execute: 'E', flush: 'H', parse: 'P', query: 'Q', sync: 'S' }
const TO_CLIENT = { commandComplete: 'C', emptyQuery: 'I', error: 'E', notice: 'N', parseComplete: '1', readyForQuery: 'Z' } as const
/** The first message of a client has no type. */
const STARTUP = ''

const socketName = '.s.PGSQL.5432'

/** A statement that the server was sent. */
interface Statement {
  text: string
  fault?: Fault | undefined
}

export async function openProxy () {
  const serverSocket = join(await postgresHost(), socketName)
  const folder = mkdtempSync(join(tmpdir(), 'omnichannel-proxy-'))
  const sockets = new Set<Socket>()
  const plan = createPlan<Injection>()
  const proxy = createServer((client) => {
    const server = connect(serverSocket)
    for (const socket of [client, server]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => sockets.delete(socket))
    }
    client.on('close', () => server.destroy())
    server.on('close', () => client.destroy())
    relay(client, server, (text) => plan.reach(text)?.fault)
  })
  await new Promise<void>((resolve) => proxy.listen(join(folder, socketName), resolve))
  return {
    host: folder,
    plan,
    close: () => {
      proxy.close()
      for (const socket of sockets) socket.destroy()
      rmSync(folder, { recursive: true, force: true })
    }
  }
}

/** Passes messages on, and lets a fault happen at each statement for which `faultAt` returns one. */
function relay (client: Socket, server: Socket, faultAt: (text: string) => Fault | undefined): void {
  /** The texts of prepared statements by their names. */
  const prepared = new Map<string, string>()
  /** What the server has not answered yet. */
  const pending: Array<Statement | 'sync'> = []
  let [ignoresClient, ignoresServer] = [false, false]
  /** Whether the rest of the statement that was just refused is dropped: its Describe and Execute. */
  let dropsRest = false
  /** The answers to statements of the proxy itself, which the client must not see. */
  let parsesToHide = 0
  /** What happens at the next ReadyForQuery. */
  let atReady: 'cut' | 'shutdown' | undefined
  let onAnswer: () => void = () => undefined

  const cut = (): void => {
    client.destroy()
    server.destroy()
  }

  /** Resolves when the server has run all statements that it was sent. */
  async function flush (): Promise<void> {
    server.write(message(TO_SERVER.flush))
    while (pending.some((entry) => entry !== 'sync')) await new Promise<void>((resolve) => { onAnswer = resolve })
  }

  /** Sends another statement that ends the transaction as the refused one would. */
  function sendInstead (statement: Statement): void {
    const text = statement.text === 'COMMIT' ? 'ROLLBACK' : "DO $$ BEGIN RAISE EXCEPTION 'the explorer' USING ERRCODE = 'XX000'; END $$"
    parsesToHide++
    dropsRest = true
    server.write(Buffer.concat([
      message(TO_SERVER.parse, `\0${text}\0\0\0`), message(TO_SERVER.bind, '\0\0\0\0\0\0\0\0'), message(TO_SERVER.execute, '\0\0\0\0\0')
    ]))
    pending.push(statement)
  }

  async function beginStatement (text: string, forward: () => void): Promise<void> {
    const fault = faultAt(text)
    const statement: Statement = { text, fault }
    switch (fault?.do) {
      case 'cut-before': return cut()
      case 'hold-before': ignoresClient = true; return
      case 'refuse': case 'answer-rollback': return sendInstead(statement)
      case 'run-before':
        await flush()
        await fault.run()
        break
    }
    pending.push(statement)
    forward()
  }

  function beginConnection (forward: () => void): void {
    const fault = faultAt('connect')
    switch (fault?.do) {
      case 'cut-before': return cut()
      case 'hold-before': ignoresClient = true; return
      case 'refuse': client.end(response(TO_CLIENT.error, { S: 'FATAL', M: 'refused', ...fault.fields })); return
      case 'shutdown': atReady = 'shutdown'; break
    }
    forward()
  }

  async function fromClient (type: string, data: Buffer): Promise<void> {
    if (ignoresClient) return
    const forward = (): void => { server.write(data) }
    if (type === STARTUP) return beginConnection(forward)
    if (dropsRest && (type === TO_SERVER.describe || type === TO_SERVER.execute)) {
      dropsRest = type === TO_SERVER.describe
      return
    }
    // Parse has a name and a text, Bind a portal and a name, Query a text.
    const [first = '', second = ''] = data.toString('utf8', 5).split('\0')
    switch (type) {
      case TO_SERVER.parse: prepared.set(first, second); break
      case TO_SERVER.bind: return await beginStatement(prepared.get(second) ?? '', forward)
      case TO_SERVER.query:
        await beginStatement(first, forward)
        // The statement that was sent instead needs a Sync. A Query has its own.
        if (dropsRest) server.write(message(TO_SERVER.sync))
        dropsRest = false
        pending.push('sync')
        return
      case TO_SERVER.sync: pending.push('sync'); break
    }
    forward()
  }

  async function fromServer (type: string, data: Buffer): Promise<void> {
    const forward = (): void => sendToClient(data)
    switch (type) {
      case TO_CLIENT.parseComplete:
        if (parsesToHide > 0) { parsesToHide--; return }
        break
      case TO_CLIENT.commandComplete: case TO_CLIENT.emptyQuery: return endStatement(forward)
      case TO_CLIENT.error: return failStatement(forward)
      case TO_CLIENT.readyForQuery:
        if (pending[0] === 'sync') pending.shift()
        if (atReady === 'cut') return cut()
        if (atReady === 'shutdown') {
          const shutdown = { S: 'FATAL', C: '57P01', M: 'terminating connection due to administrator command' }
          client.end(Buffer.concat([data, response(TO_CLIENT.error, shutdown)]))
          ignoresServer = true
          return
        }
    }
    forward()
  }

  function sendToClient (answer: Buffer): void {
    if (!ignoresServer) client.write(answer)
  }

  function endStatement (forward: () => void): void {
    // A query of several statements has several answers.
    const fault = pending[0] === 'sync' ? undefined : (pending.shift() as Statement).fault
    onAnswer()
    switch (fault?.do) {
      case 'cut-after': [ignoresServer, atReady] = [true, 'cut']; break
      case 'hold-after': ignoresServer = true; break
      case 'notice': sendToClient(response(TO_CLIENT.notice, { S: 'WARNING', M: 'a notice', ...fault.fields })); break
      case 'shutdown': atReady = 'shutdown'; break
      case 'refuse': return sendToClient(response(TO_CLIENT.error, { S: 'ERROR', M: 'refused', ...fault.fields }))
      case 'refuse-after':
        client.end(response(TO_CLIENT.error, { S: 'FATAL', M: 'gone', ...fault.fields }))
        ignoresServer = true
        return
    }
    forward()
  }

  function failStatement (forward: () => void): void {
    const statement = pending[0]
    // After an error the server skips all statements up to the next Sync.
    const nextSync = pending.indexOf('sync')
    pending.splice(0, nextSync === -1 ? pending.length : nextSync)
    onAnswer()
    if (statement === undefined || statement === 'sync' || statement.fault?.do !== 'refuse') return forward()
    const { fields } = statement.fault
    sendToClient(response(TO_CLIENT.error, { S: 'ERROR', M: 'refused', ...fields }))
    if (fields.S === 'FATAL') client.end()
  }

  handleInOrder(client, fromClient, true)
  handleInOrder(server, fromServer, false)
}

/** Calls `handle` with one message after the other. */
function handleInOrder (socket: Socket, handle: (type: string, data: Buffer) => Promise<void>, isClient: boolean): void {
  let [rest, isStartup, last] = [Buffer.alloc(0), isClient, Promise.resolve()]
  socket.on('data', (chunk) => {
    rest = Buffer.concat([rest, chunk])
    for (;;) {
      // The type, and four bytes with the length of the rest.
      const typeBytes = isStartup ? 0 : 1
      if (rest.length < typeBytes + 4) return
      const size = typeBytes + rest.readInt32BE(typeBytes)
      if (rest.length < size) return
      const [type, data] = [isStartup ? STARTUP : String.fromCharCode(rest[0]!), rest.subarray(0, size)]
      rest = rest.subarray(size)
      isStartup = false
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
