// The files of the documentation page: read once, compressed, cached by browsers.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import t from 'tap'
import { program } from '../helpers/children.js'
import { readAsset } from './io.js'
import { waitForCurl } from './printed-curl.js'
import { startServer } from './start-server.js'

const bundle = '/documentation/static/swagger-ui-bundle.js'
const pages = ['/documentation', '/documentation/', '/documentation/json', '/documentation/static/swagger-initializer.js', bundle,
  '/documentation/static/swagger-ui.css', '/documentation/static/favicon-16x16.png', '/documentation/static/favicon-32x32.png']

t.test('a file requested twice: the same bytes, compressed and plain', async (t) => {
  const { app } = await startServer(t)
  for (const url of pages) {
    for (const encoding of ['gzip', 'identity']) {
      const payloads = []
      for (let call = 0; call < 2; call++) payloads.push((await app.inject({ url, headers: { 'accept-encoding': encoding } })).rawPayload)
      t.ok(payloads[0]!.length > 100, url)
      t.strictSame(payloads[0], payloads[1], url)
    }
  }
  const plain = gunzipSync(readAsset('swagger-ui-bundle.js'))
  t.strictSame((await app.inject(bundle)).rawPayload, plain)
  t.strictSame(gunzipSync((await app.inject({ url: bundle, headers: { 'accept-encoding': 'gzip' } })).rawPayload), plain)
})

t.test('Accept-Encoding: compressed if gzip is accepted, else plain', async (t) => {
  const { app } = await startServer(t)
  const scenarios: Array<[header: string | undefined, isCompressed: boolean]> = [
    [undefined, false], ['', false], ['identity', false], ['gzip', true], ['br, GZip', true], ['*', true], ['gzip;q=0', false], ['gzip; q=0.000', false],
    ['gzip;q=0, *', false], ['*;q=0', false], ['*;q=0, gzip;q=0.1', true], ['deflate, gzip;q=1.0, *;q=0.5', true], ['xgzip', false], ['gzip;q=none', false]
  ]
  for (const method of ['GET', 'HEAD'] as const) {
    for (const [header, isCompressed] of scenarios) {
      const reply = await app.inject({ method, url: bundle, headers: header === undefined ? {} : { 'accept-encoding': header } })
      t.equal(reply.statusCode, 200)
      t.equal(reply.headers['content-encoding'], isCompressed ? 'gzip' : undefined, `${method} ${header}`)
      t.equal(reply.headers.vary, 'accept-encoding')
      const length = isCompressed ? readAsset('swagger-ui-bundle.js').length : gunzipSync(readAsset('swagger-ui-bundle.js')).length
      t.equal(reply.headers['content-length'], String(length), `${method} ${header}`)
    }
  }
})

t.test('If-None-Match with the ETag of a file: 304', async (t) => {
  const { app } = await startServer(t)
  for (const url of pages) {
    const first = await app.inject(url)
    t.equal(first.headers['cache-control'], /\.(css|png)$|bundle\.js$/.test(url) ? 'public, max-age=3600' : 'no-cache', url)
    const tag = String(first.headers.etag)
    t.match(tag, /^W\/"[\w-]{43}"$/)
    for (const tags of [tag, `"other", ${tag}`]) {
      const again = await app.inject({ url, headers: { 'if-none-match': tags } })
      t.strictSame([again.statusCode, again.body, again.headers.etag, again.headers['cache-control']], [304, '', tag, first.headers['cache-control']], url)
    }
    t.equal((await app.inject({ url, headers: { 'if-none-match': 'W/"other"' } })).statusCode, 200)
    t.match(first.headers['content-security-policy'], /^default-src 'self'; .*frame-ancestors 'none'/)
  }
})

t.test('970 requests at once whose answers are not read: use little memory', { skip: process.platform !== 'linux' && 'no /proc' }, async (t) => {
  const server = spawn(process.execPath, [program, 'serve', '--demo', '--port', '0', '--database', join(t.testdir(), 'a.db')])
  t.teardown(async () => {
    server.kill('SIGKILL')
    await once(server, 'exit')
  })
  const { origin } = await waitForCurl(server.stdout)
  const megabytes = (): number => Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))![1]) / 1024
  const before = megabytes()
  for (const method of ['GET', 'HEAD']) {
    const socket = connect(Number(new URL(origin).port), '127.0.0.1')
    t.teardown(() => socket.destroy())
    socket.write(`${method} ${bundle} HTTP/1.1\r\nHost: a\r\n\r\n`.repeat(970))
    await once(socket, 'readable')
  }
  t.equal((await fetch(`${origin}/health`)).status, 200)
  t.ok(megabytes() - before < 100, `${before} MB before, ${megabytes()} after`)
})
