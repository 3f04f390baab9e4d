// Requests to other paths, and invalid HTTP: answered in the form of the contract, not of Fastify.

import type { InjectOptions } from 'fastify'
import t from 'tap'
import { path } from '../helpers/test-server.js'
import { openRawConnection, startServer } from './start-server.js'

t.test('a wrong path or method, with any body: 404 as JSON', async (t) => {
  const { app } = await startServer(t)
  const json = { 'content-type': 'application/json' }
  const requests: InjectOptions[] = [
    { url: '/nothing' }, { url: '/nothing?a=%zz' }, { url: '/health/' }, { url: '//health' }, { url: '/documentation/static/none.js' },
    { url: '/documentation/static/..%2f..%2fmain.js' }, { url: '/documentation/static/%00' }, { url: `/documentation/static/${'x'.repeat(10_000)}` },
    { method: 'POST', url: '/nothing', headers: json, payload: 'no JSON' }, { method: 'POST', url: '/nothing', headers: { 'content-type': 'a/b' }, payload: 'x' },
    { method: 'POST', url: '/nothing', headers: json, payload: 'x'.repeat(3_000_000) },
    { method: 'GET', url: path }, { method: 'PUT', url: path, headers: json, payload: '{}' }, { method: 'DELETE', url: path }, { method: 'OPTIONS', url: path },
    { method: 'POST', url: '/health' }, { method: 'POST', url: '/documentation' }
  ]
  for (const request of requests) {
    const reply = await app.inject(request)
    t.equal(reply.statusCode, 404, JSON.stringify(request).slice(0, 100))
    t.equal(reply.headers['content-type'], 'application/json')
    t.equal(reply.body, '{"success":false,"error":"Not Found"}')
  }
})

t.test('HTTP that cannot be parsed or routed: the reason phrase of the status as JSON', async (t) => {
  const { port } = await startServer(t)
  const scenarios: Array<[situation: string, text: string, status: RegExp]> = [
    ['a path that cannot be decoded', 'GET /%zz HTTP/1.1\r\nHost: a\r\n', /^400 Bad Request$/],
    ['an unknown method', 'FETCH / HTTP/1.1\r\nHost: a\r\n', /^400 Bad Request$/],
    ['an unknown version', 'GET / HTTP/3.0\r\nHost: a\r\n', /^400 Bad Request$/],
    ['Content-Length and Transfer-Encoding', `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n`, /^400 Bad Request$/],
    ['a path that is too long', `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: a\r\n`, /^431 Request Header Fields Too Large$/],
    ['a method that Fastify does not know', 'PROPFIND / HTTP/1.1\r\nHost: a\r\n', /^404 Not Found$/],
    ['no path at all', 'OPTIONS * HTTP/1.1\r\nHost: a\r\n', /^404 Not Found$/],
    ['a chunk extension that is too long', `POST /nothing HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;${'x'.repeat(20_000)}\r\n`, /^413 Payload Too Large$/]
  ]
  for (const [situation, text, status] of scenarios) {
    const { socket, closed } = await openRawConnection(port)
    socket.write(`${text}Connection: close\r\n\r\n`)
    const response = (await closed).split('HTTP/1.1 ').at(-1)!
    const [head = '', body] = response.split('\r\n\r\n')
    const [statusLine = ''] = head.split('\r\n')
    t.match(statusLine, status, situation)
    const reasonPhrase = statusLine.slice('400 '.length)
    t.equal(body, JSON.stringify({ success: false, error: reasonPhrase }), situation)
  }
})
