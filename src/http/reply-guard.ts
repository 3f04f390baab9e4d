// A request is answered once. Other code may answer it first, such as Fastify's handlerTimeout or a hook of the host's. Then the update is
// not begun, or is rolled back. Once COMMIT is sent, only the update may answer.

import type { FastifyError, FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify'
import type { ReplyGuard } from '../store/store.js'

type ReplyMethods = Pick<FastifyReply, 'code' | 'send' | 'hijack'>

const kGuard = Symbol('fastify-omnichannel-contacts.guard')
type Guarded = FastifyReply & { [kGuard]: FastifyReplyGuard }

/** Returns the guard of a reply. Makes one if an onRoute hook of the host's has replaced our onRequest hook. */
export function guardReply (reply: FastifyReply): FastifyReplyGuard {
  return (reply as Partial<Guarded>)[kGuard] ?? new FastifyReplyGuard(reply)
}

/** Guards the reply from onRequest on, because a later hook of the host's may answer and still let the request go on to the handler. */
export const addReplyGuard: onRequestHookHandler = (_request, reply, done) => {
  guardReply(reply)
  done()
}

/** Replaces the methods of a reply. It notices when other code answers, and ignores that after `lock`. {@link sendUnguarded} bypasses it. */
class FastifyReplyGuard implements ReplyGuard {
  private readonly original: ReplyMethods
  /** `reply.sent` is set later, when the host's onSend hooks are done. */
  private isAnswered = false
  private isLocked = false
  /** Whether other code can run while the reply is locked. It cannot during a COMMIT of SQLite. */
  otherCodeRuns = true

  constructor (private readonly reply: FastifyReply) {
    this.original = Object.getPrototypeOf(reply) as ReplyMethods
    Object.assign(reply, { [kGuard]: this }, guardedMethods)
  }

  send (payload: unknown): FastifyReply {
    if (this.isLocked) return this.reply
    this.isAnswered = true
    return this.original.send.call(this.reply, payload)
  }

  hijack (): FastifyReply {
    return this.isLocked ? this.reply : this.original.hijack.call(this.reply)
  }

  code (status: number): FastifyReply {
    return this.isLocked ? this.reply : this.original.code.call(this.reply, status)
  }

  isPending (): boolean {
    const { reply } = this
    return !(this.isAnswered || reply.sent || reply.raw.headersSent || isTimedOut(reply.request) || isClientGone(reply))
  }

  lock (): void {
    this.isLocked = true
    // Other code, such as Fastify's handlerTimeout, checks `sent` before it answers. A reply with this property is slow to send.
    if (this.otherCodeRuns) Object.defineProperty(this.reply, 'sent', { value: true, configurable: true })
  }

  unlock (): void {
    this.isLocked = false
    Reflect.deleteProperty(this.reply, 'sent')
  }
}

/**
 * The methods of all guarded replies. When each reply had functions of its own, V8 kept whole requests alive until it collected the old
 * generation. That cost a tenth of an update's time.
 */
const guardedMethods = {
  send (this: Guarded, payload: unknown) { return this[kGuard].send(payload) },
  hijack (this: Guarded) { return this[kGuard].hijack() },
  code: setCode,
  status: setCode
}

function setCode (this: Guarded, status: number): FastifyReply {
  return this[kGuard].code(status)
}

/** Sends with the original methods of a reply. */
export function sendUnguarded (reply: FastifyReply, status: number, payload: unknown): void {
  const { code, send } = Object.getPrototypeOf(reply) as ReplyMethods
  Reflect.deleteProperty(reply, 'sent')
  code.call(reply, status)
  send.call(reply, payload)
}

function isTimedOut (request: FastifyRequest): boolean {
  // The first check saves the cost of `signal`, which is created when it is read. It is aborted for other reasons too.
  return request.routeOptions.handlerTimeout > 0 && (request.signal.reason as Partial<FastifyError> | undefined)?.code === 'FST_ERR_HANDLER_TIMEOUT'
}

/** With HTTP/2 each request has a stream. With HTTP/1 the socket is checked, because a pipelined request does not notice that it closed. */
function isClientGone ({ raw, request }: FastifyReply): boolean {
  return raw.destroyed || ((raw as { stream?: { destroyed: boolean } }).stream ?? request.raw.socket).destroyed
}
