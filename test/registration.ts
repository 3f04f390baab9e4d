// Registers the plugin as a starting server does.

import fastify from 'fastify'
import omnichannelContacts from '../src/index.js'

/** Closes the server afterwards. Undefined if the registration has succeeded. */
export async function rejectionOf (options: unknown): Promise<{ code: string, message: string, isTypeError: boolean } | undefined> {
  const app = fastify()
  try {
    await app.register(omnichannelContacts, options as never)
    return undefined
  } catch (error) {
    const { code, message } = error as Error & { code: string }
    return { code, message, isTypeError: error instanceof TypeError }
  } finally {
    await app.close()
  }
}
