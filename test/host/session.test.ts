import jwt from '@fastify/jwt'
import t from '../engines.js'
import { allRows, as, build } from '../build.js'
import { unauthorized } from '../refusals.js'

t.test('@fastify/jwt: the token names the user, whose roles are in the database', async (t) => {
  const { app, db, update } = await build(t, {
    host: async (app) => { await app.register(jwt, { secret: 'a secret of the host' }) },
    authenticate: async (request) => ({ id: (await request.jwtVerify<{ sub: string }>()).sub })
  })
  const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` })
  const token = app.jwt.sign({ sub: 'ann' })
  t.equal((await update({ contactId: 'maria', name: 'Maria B.' }, bearer(token))).statusCode, 200)
  t.equal((await update({ contactId: 'maria' }, bearer(app.jwt.sign({ sub: 'nick' })))).statusCode, 403)

  const [head, , signature] = token.split('.')
  const forged = `${head!}.${Buffer.from('{"sub":"adam"}').toString('base64url')}.${signature!}`
  const refused: Record<string, Record<string, string>> = {
    'no token': {},
    'a token of the database': as('ann'),
    'no JSON web token': bearer('nonsense'),
    'a changed token': bearer(forged),
    'a token without a signature': bearer(`${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from('{"sub":"ann"}').toString('base64url')}.`),
    'an expired token': bearer(app.jwt.sign({ sub: 'ann', exp: 1_600_000_000 }))
  }
  const before = await allRows(db)
  for (const [situation, headers] of Object.entries(refused)) {
    const reply = await update({ contactId: 'maria', name: 'Mallory' }, headers)
    t.strictSame([reply.statusCode, reply.json()], [401, unauthorized], situation)
  }
  t.strictSame(await allRows(db), before, 'nothing changed')
})

interface Session {
  userId: string
}

t.test('a session that an earlier hook of the host finds: 200, and 401 once it is deleted', async (t) => {
  const sessions = new Map<string, Session>([['s-1', { userId: 'ann' }], ['s-2', { userId: 'nick' }]])
  const { db, update } = await build(t, {
    host: (app) => {
      app.decorateRequest('session', null)
      app.addHook('onRequest', async (request) => {
        const id = /(?:^|; )sid=([^;]*)/.exec(request.headers.cookie ?? '')?.[1]
        request.setDecorator('session', sessions.get(id ?? '') ?? null)
      })
    },
    authenticate: (request) => {
      const session = request.getDecorator<Session | null>('session')
      return session && { id: session.userId }
    }
  })
  const status = async (cookie?: string): Promise<number> =>
    (await update({ contactId: 'maria', name: 'Maria B.' }, cookie === undefined ? {} : { cookie })).statusCode

  const before = await allRows(db)
  t.equal(await status(), 401)
  t.equal(await status('sid=s-3'), 401)
  t.equal(await status('sid=s-2'), 403)
  t.strictSame(await allRows(db), before, 'nothing changed')
  t.equal(await status('theme=dark; sid=s-1'), 200)
  sessions.delete('s-1')
  t.equal(await status('theme=dark; sid=s-1'), 401)
})
