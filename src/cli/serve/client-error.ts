// What cannot be read as HTTP reaches no route. Fastify would log its raw bytes at level trace, and a token may be among
// them.

import type { ConnectionError, FastifyInstance } from 'fastify'
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'

const statuses: Record<string, number> = { ERR_HTTP_REQUEST_TIMEOUT: 408, HPE_CHUNK_EXTENSIONS_OVERFLOW: 413, HPE_HEADER_OVERFLOW: 431 }

export function answerClientError (this: FastifyInstance, { code, message }: ConnectionError, socket: Socket): void {
  if (code === 'ECONNRESET' || socket.destroyed) return
  const status = statuses[code] ?? 400
  const text = STATUS_CODES[status] as string
  this.log.trace({ code, reason: message }, 'client error')
  const body = JSON.stringify({ success: false, error: text })
  if (socket.writable) {
    socket.write(`HTTP/1.1 ${status} ${text}\r\nConnection: close\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${body.length}\r\n\r\n${body}`)
  }
  socket.destroy()
}
