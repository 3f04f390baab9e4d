import rateLimit, { type FastifyRateLimitStore } from '@fastify/rate-limit'
import type { FastifyInstance } from 'fastify'

const maxAddresses = 10_000

/** Counts all calls of an address but those of /health, and answers those over `max` in a minute with 429. */
export async function addRateLimit (app: FastifyInstance, max: number): Promise<void> {
  await app.register(rateLimit, { global: false, max, timeWindow: '1 minute', store: MonotonicStore })
  const count = app.createRateLimit()
  app.addHook('onRequest', async (request, reply) => {
    if (request.routeOptions.url === '/health') return
    const limit = await count(request)
    if (limit.isAllowed) return
    void reply.headers({
      'x-ratelimit-limit': limit.max,
      'x-ratelimit-remaining': limit.remaining,
      // As Rocket.Chat has it; the plugin's own would be in seconds from now.
      'x-ratelimit-reset': Date.now() + Math.ceil(limit.ttl)
    })
    if (!limit.isExceeded) return
    void reply.header('retry-after', limit.ttlInSeconds)
    throw Object.assign(new Error('too many requests'), { statusCode: 429 })
  })
}

/** Unlike the plugin's own, it does not count by the time of day, which may be set back. */
class MonotonicStore implements FastifyRateLimitStore {
  /** The address that was heard of last comes last. */
  readonly #windows = new Map<string, { current: number, end: number }>()

  incr (address: string, done: (error: null, result: { current: number, ttl: number }) => void, timeWindow: number): void {
    const now = performance.now()
    const known = this.#windows.get(address)
    const window = known !== undefined && known.end > now ? known : { current: 0, end: now + timeWindow }
    window.current++
    this.#windows.delete(address)
    this.#windows.set(address, window)
    const [oldest = ''] = this.#windows.keys()
    if (this.#windows.size > maxAddresses) this.#windows.delete(oldest)
    done(null, { current: window.current, ttl: window.end - now })
  }

  child (): this {
    return this
  }
}
