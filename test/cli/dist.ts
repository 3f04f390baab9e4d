// The program as it is shipped, for tests that need a process of its own: started from its sources one takes seconds.

import { existsSync } from 'node:fs'
import { resolve } from 'node:path'

export const program = resolve('dist/cli/main.js')
if (!existsSync(program)) throw new Error('dist/cli is not there: npm run build makes it')

/** Without what tap loads into its children. */
export const env = { ...process.env, NODE_OPTIONS: '' }
