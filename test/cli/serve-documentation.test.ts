// The files of the documentation page, and their headers.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import t from 'tap'
import { program } from '../helpers/built-program.js'
import { readAsset } from './run-cli.js'
import { waitForCurl } from './printed-curl.js'
import { startServer } from './start-server.js'

const bundle = '/documentation/static/swagger-ui-bundle.js'
const compressedBundle = readAsset('swagger-ui-bundle.js')
const plainBundle = gunzipSync(compressedBundle)
const urls = ['/documentation', '/documentation/', '/documentation/json', '/documentation/static/swagger-initializer.js', bundle,
  '/documentation/static/swagger-ui.css', '/documentation/static/favicon-16x16.png', '/documentation/static/favicon-32x32.png']

t.test('a file requested twice, compressed and plain: the same bytes', async (t) => {
  const { app } = await startServer(t)
  for (const url of urls) {
    for (const encoding of ['gzip', 'identity']) {
      const request = { url, headers: { 'accept-encoding': encoding } }
      const [first, second] = [await app.inject(request), await app.inject(request)]
      t.ok(first.rawPayload.length > 100, url)
      t.strictSame(first.rawPayload, second.rawPayload, url)
    }
  }
})

t.test('the largest file, compressed and plain: its own bytes', async (t) => {
  const { app } = await startServer(t)
  t.strictSame((await app.inject(bundle)).rawPayload, plainBundle)
  t.strictSame(gunzipSync((await app.inject({ url: bundle, headers: { 'accept-encoding': 'gzip' } })).rawPayload), plainBundle)
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
      const { length } = isCompressed ? compressedBundle : plainBundle
      t.equal(reply.headers['content-length'], String(length), `${method} ${header}`)
    }
  }
})

t.test('Cache-Control: an hour for the files of swagger-ui, no-cache for what depends on this server', async (t) => {
  const { app } = await startServer(t)
  for (const url of urls) {
    const { headers } = await app.inject(url)
    t.equal(headers['cache-control'], /\.(css|png)$|bundle\.js$/.test(url) ? 'public, max-age=3600' : 'no-cache', url)
  }
})

t.test('Content-Security-Policy: the page loads from this server only, and no other page can frame it', async (t) => {
  const { app } = await startServer(t)
  for (const url of urls) {
    t.match((await app.inject(url)).headers['content-security-policy'], /^default-src 'self'; .*frame-ancestors 'none'/, url)
  }
})

t.test('If-None-Match: 304 with the ETag of the file, 200 with another', async (t) => {
  const { app } = await startServer(t)
  for (const url of urls) {
    const { etag, 'cache-control': cacheControl } = (await app.inject(url)).headers
    // The SHA-256 of the file in base64url.
    t.match(etag, /^W\/"[\w-]{43}"$/)
    for (const tags of [String(etag), `"other", ${String(etag)}`]) {
      const again = await app.inject({ url, headers: { 'if-none-match': tags } })
      t.strictSame([again.statusCode, again.body, again.headers.etag, again.headers['cache-control']], [304, '', etag, cacheControl], url)
    }
    t.equal((await app.inject({ url, headers: { 'if-none-match': 'W/"other"' } })).statusCode, 200)
  }
})

t.test('a thousand requests whose answers of 1.6 MB are not read: the answers share their bytes', { skip: process.platform !== 'linux' && 'no /proc' }, async (t) => {
  const server = spawn(process.execPath, [program, 'serve', '--demo', '--port', '0', '--database', join(t.testdir(), 'a.db')])
  t.teardown(async () => {
    server.kill('SIGKILL')
    await once(server, 'exit')
  })
  const { origin } = await waitForCurl(server.stdout)
  /** The largest resident memory that the server has used so far. */
  const peakMegabytes = (): number => Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))![1]) / 1024
  const before = peakMegabytes()
  for (const method of ['GET', 'HEAD']) {
    const socket = connect(Number(new URL(origin).port), '127.0.0.1')
    t.teardown(() => socket.destroy())
    socket.write(`${method} ${bundle} HTTP/1.1\r\nHost: a\r\n\r\n`.repeat(1000))
    await once(socket, 'readable')
  }
  t.equal((await fetch(`${origin}/health`)).status, 200)
  t.ok(peakMegabytes() - before < 100, `${before} MB before, ${peakMegabytes()} after`)
})
