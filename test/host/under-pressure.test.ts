import underPressure from '@fastify/under-pressure'
import { allRows, build } from '../helpers/test-server.js'
import t from '../helpers/engines.js'
import { until } from '../helpers/waiting.js'

t.test('@fastify/under-pressure: its 503 and Retry-After are kept, its message is not shown', async (t) => {
  let isHealthy = false
  const { db, update } = await build(t, {
    host: async (app) => {
      await app.register(underPressure, {
        healthCheck: async () => isHealthy,
        healthCheckInterval: 10,
        retryAfter: 7,
        message: 'FST_SECRET /var/lib/desk.db'
      })
    }
  })
  const before = await allRows(db)
  const refused = await update({ contactId: 'maria', name: 'X' })
  t.strictSame([refused.statusCode, refused.json()], [503, { success: false, error: 'Service Unavailable' }])
  t.match(refused.headers, { 'retry-after': '7', 'content-type': 'application/json', 'cache-control': 'no-store' })
  t.strictSame(await allRows(db), before, 'nothing changed')

  isHealthy = true
  await until(async () => (await update({ contactId: 'maria', name: 'X' })).statusCode === 200)
  t.equal((await update({ contactId: 'maria', name: 'Y' })).statusCode, 200, 'the next update')
})
