import rateLimit from '@fastify/rate-limit'
import { allRows, as, build } from '../helpers/test-server.js'
import t from '../helpers/engines.js'

const errorText = (seconds: number): string => 'Error, too many requests. Please slow down. ' +
  `You must wait ${seconds} seconds before trying this endpoint again. [error-too-many-requests]`

t.test('ten calls a minute: the eleventh gets 429 with the text of the contract and the seconds left', async (t) => {
  const { update, db } = await build(t, {
    host: async (app) => { await app.register(rateLimit, { max: 10, timeWindow: '1 minute' }) }
  })
  for (let call = 1; call <= 10; call++) {
    t.equal((await update({ contactId: 'maria', name: `Maria ${call}` })).statusCode, 200)
  }
  const before = await allRows(db)
  const reply = await update({ contactId: 'maria', name: 'Too much' })
  const seconds = Number(reply.headers['retry-after'])
  t.ok(seconds >= 30 && seconds <= 60, 'about a minute is left')
  t.strictSame([reply.statusCode, reply.json()], [429, { success: false, error: errorText(seconds) }])
  t.match(reply.headers, { 'content-type': 'application/json', 'cache-control': 'no-store', pragma: 'no-cache' })
  t.strictSame(await allRows(db), before, 'nothing changed')
})

t.test('requests with 401 or 403: counted too', async (t) => {
  const callers: Record<string, [headers: Record<string, string>, status: number]> = {
    'a wrong token': [{ ...as('ann'), 'x-auth-token': 'guess' }, 401],
    'no token': [{}, 401],
    'no permission': [as('nick'), 403]
  }
  for (const [situation, [headers, status]] of Object.entries(callers)) {
    const { update } = await build(t, { host: async (app) => { await app.register(rateLimit, { max: 3, timeWindow: '1 minute' }) } })
    const statuses: number[] = []
    for (let call = 0; call < 5; call++) statuses.push((await update({ contactId: 'maria' }, headers)).statusCode)
    t.strictSame(statuses, [status, status, status, 429, 429], situation)
    t.equal((await update({ contactId: 'maria' })).statusCode, 429, `${situation}: then a good call is limited too`)
  }
})
