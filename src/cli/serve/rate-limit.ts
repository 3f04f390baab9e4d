import { normalizeIP } from '@fastify/rate-limit'
import type { FastifyInstance } from 'fastify'

const windowMs = 60_000
const maxAddresses = 10_000

/** What monitors call. */
const uncounted = ['/health', '/metrics']

/**
 * Answers 429 to more than `max` calls of an address in a minute, /health and /metrics not counted. @fastify/rate-limit counts by the time of day,
 * which may be set back, and its X-RateLimit-Reset is not Rocket.Chat's.
 */
export function addRateLimit (app: FastifyInstance, max: number): void {
  /** The address that called last comes last. */
  const windows = new Map<string, { calls: number, end: number, reset: number }>()

  app.addHook('onRequest', (request, reply, done) => {
    if (uncounted.includes(String(request.routeOptions.url))) return done()
    const now = performance.now()
    const address = normalizeIP(request.ip)
    let window = windows.get(address)
    if (window === undefined || window.end <= now) window = { calls: 0, end: now + windowMs, reset: Date.now() + windowMs }
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
    if (window.calls <= max) return done()
    void reply.header('retry-after', Math.ceil((window.end - now) / 1000))
    done(Object.assign(new Error('too many requests'), { statusCode: 429 }))
  })
}
