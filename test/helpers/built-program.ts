// The command line that `npm run build` has written.

import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import './children-without-tap.js'

/** The program, as a file for Node.js. */
export const program = resolve('dist/cli/main.js')
if (!existsSync(program)) throw new Error('dist/cli is not there: npm run build makes it')

/** The worker thread of `serve`, for tests that run the command line inside the test. */
export const checkpointWorker = pathToFileURL(resolve('dist/cli/serve/checkpoint-worker.js'))
