// Import this to start programs as users start them. Without it, tap would load itself into each program: this takes a third of a second,
// adds exit handlers, and collects coverage that is not used. FORCE_COLOR would change what the programs print.

import processOnSpawn from 'process-on-spawn'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

processOnSpawn.removeAllListeners()
process.env.NODE_OPTIONS = ''
delete process.env.FORCE_COLOR

/** The built command line, as a file for Node.js. */
export const program = resolve('dist/cli/main.js')
if (!existsSync(program)) throw new Error('dist/cli is not there: npm run build makes it')

/** The worker thread of `serve`, for tests that run the command line inside the test. */
export const checkpointWorker = pathToFileURL(resolve('dist/cli/serve/checkpoint-worker.js'))
