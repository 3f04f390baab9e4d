// Registers the plugin as a starting server does.

import fastify from 'fastify'
import omnichannelContacts from '../../src/index.js'

/** The error with which a registration is rejected, or undefined if it is accepted. The server is closed afterwards. */
export async function rejectionOf (options: unknown): Promise<{ code: string, message: string, isTypeError: boolean } | undefined> {
  const app = fastify()
  try {
    // `as never`, because many tests pass options that do not compile.
    await app.register(omnichannelContacts, options as never)
    return undefined
  } catch (error) {
    const { code, message } = error as Error & { code: string }
    return { code, message, isTypeError: error instanceof TypeError }
  } finally {
    await app.close()
  }
}

/** The expected error for a database that lacks tables or columns. */
export function incompleteSchema (missing: string): Awaited<ReturnType<typeof rejectionOf>> {
  return {
    code: 'FOC_INCOMPLETE_SCHEMA',
    message: `The database lacks ${missing}. Register with migrate: true, run the command migrate, or give your view or table these columns`,
    isTypeError: false
  }
}
