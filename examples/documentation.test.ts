// Loads what a browser would load, and sends what "Try it out" would send.
//
//   npx tap --disable-coverage examples/documentation.test.ts

import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { addDemoData, buildApp } from './documentation.js'

const path = '/api/v1/omnichannel/contacts.update'

async function open (t: Test) {
  const database = new Database(':memory:')
  const app = await buildApp(database)
  t.teardown(async () => {
    await app.close()
    database.close()
  })
  addDemoData(database)
  return { app, database }
}

t.test('the page: all files that it loads exist, and its Content-Security-Policy allows them', async (t) => {
  const { app } = await open(t)
  const page = await app.inject('/documentation/')
  t.equal(page.statusCode, 200)
  const policy = String(page.headers['content-security-policy'])
  t.match(policy, /(^|;)script-src 'self'(;|$)/)
  t.match(policy, /(^|;)img-src 'self' data:(;|$)/)
  t.notMatch(policy, 'upgrade-insecure-requests', 'the server has no TLS')
  t.notMatch(page.body, /<script(?![^>]* src=)|\son\w+=/, 'no inline script')
  const files = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, file]) => new URL(file!, 'http://localhost/documentation/'))
  t.ok(files.length >= 5)
  for (const { host, pathname } of files) {
    t.equal(host, 'localhost', pathname)
    t.equal((await app.inject(pathname)).statusCode, 200, pathname)
  }
})

t.test('the logo: an SVG inside the script of the page', async (t) => {
  const { app } = await open(t)
  const script = (await app.inject('/documentation/static/swagger-initializer.js')).body
  const logo = /data:image\/svg\+xml;base64,([\w+/=]+)/.exec(script)?.[1] ?? ''
  t.match(Buffer.from(logo, 'base64').toString(), '>Desk</text>')
})

t.test('the example bodies of the document: each updates Maria', async (t) => {
  const { app, database } = await open(t)
  const document = (await app.inject('/documentation/json')).json()
  t.equal(document.openapi, '3.1.0')
  const { examples } = document.paths[path].post.requestBody.content['application/json']
  const bodies = Object.values<{ value: object }>(examples)
  t.ok(bodies.length > 0)
  for (const { value } of bodies) {
    const reply = await app.inject({ method: 'POST', url: path, headers: { 'x-user-id': 'ann', 'x-auth-token': 's3cret' }, payload: value })
    t.equal(reply.statusCode, 200, reply.body)
  }
  t.equal(database.prepare('SELECT version FROM omnichannel_contact').pluck().get(), 1 + bodies.length)
})
