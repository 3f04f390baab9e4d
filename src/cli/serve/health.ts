import type { FastifyInstance } from 'fastify'

/** Adds GET /health. The returned function tells it that an update has failed: from then on it also writes, until that succeeds. */
export function addHealth (app: FastifyInstance, read: () => Promise<unknown>, write: () => Promise<unknown>): () => void {
  let updateFailed = false
  let running: Promise<string | undefined> | undefined

  const fails = async (work: () => Promise<unknown>, message: string): Promise<boolean> => {
    try {
      await work()
      return false
    } catch (error) {
      app.log.error({ err: error }, message)
      return true
    }
  }
  const check = async (): Promise<string | undefined> => {
    if (await fails(read, 'the database does not answer')) return 'read-failed'
    if (!updateFailed) return undefined
    updateFailed = false
    updateFailed ||= await fails(write, 'the database cannot be written')
    return updateFailed ? 'write-failed' : undefined
  }

  app.get('/health', { schema: { hide: true } }, async (_request, reply) => {
    // All that ask at once get one answer.
    running ??= check().finally(() => { running = undefined })
    const reason = await running
    return reason === undefined ? { status: 'ok' } : reply.code(503).send({ status: 'unavailable', reason })
  })
  return () => { updateFailed = true }
}
