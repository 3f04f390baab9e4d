import { allRows, build } from '../helpers/test-server.js'
import t from '../helpers/engines.js'

interface Session {
  userId: string
}

t.test('authenticate reads a session that an earlier hook of the host has found: 200, and 401 once it is deleted', async (t) => {
  const sessions = new Map<string, Session>([['of-ann', { userId: 'ann' }], ['of-nick', { userId: 'nick' }]])
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
  t.equal(await status('sid=unknown'), 401)
  t.equal(await status('sid=of-nick'), 403)
  t.strictSame(await allRows(db), before, 'nothing changed')
  t.equal(await status('theme=dark; sid=of-ann'), 200)
  sessions.delete('of-ann')
  t.equal(await status('theme=dark; sid=of-ann'), 401)
})
