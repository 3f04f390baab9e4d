import { normalizeIP } from '@fastify/rate-limit'
import type { FastifyInstance } from 'fastify'

const length = 60_000 // ms
const maxAddresses = 10_000

/**
 * Counts all calls of an address but those of /health, and answers those over `max` in a minute with 429. @fastify/rate-limit itself counts by
 * the time of day, which may be set back, and has another X-RateLimit-Reset than Rocket.Chat.
 */
export function addRateLimit (app: FastifyInstance, max: number): void {
  /** The address that was heard of last comes last. */
  const windows = new Map<string, { calls: number, end: number, reset: number }>()

  app.addHook('onRequest', (request, reply, done) => {
    if (request.routeOptions.url === '/health') {
      done()
      return
    }
    const now = performance.now()
    const address = normalizeIP(request.ip)
    const known = windows.get(address)
    const window = known !== undefined && known.end > now ? known : { calls: 0, end: now + length, reset: Date.now() + length }
    window.calls++
    windows.delete(address)
    windows.set(address, window)
    const [oldest = ''] = windows.keys()
    if (windows.size > maxAddresses) windows.delete(oldest)

    void reply.headers({
      'x-ratelimit-limit': max,
      'x-ratelimit-remaining': Math.max(0, max - window.calls),
      'x-ratelimit-reset': window.reset
    })
    if (window.calls <= max) {
      done()
      return
    }
    void reply.header('retry-after', Math.ceil((window.end - now) / 1000))
    done(Object.assign(new Error('too many requests'), { statusCode: 429 }))
  })
}
