import type { Writable } from 'node:stream'
import type { Io } from './command.js'
import { CommandError } from './errors.js'

/** Somebody who reads no further, as `head` does, is no failure. An answer that cannot be written is one. */
export function watchOutput ({ stdout, stderr }: Io): { written: () => Promise<void> } {
  let failure: Error | undefined
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') failure = error
  })
  // There is nowhere left to say it.
  stderr.on('error', () => undefined)

  return {
    written: async () => {
      await flush(stdout)
      if (failure !== undefined) throw new CommandError(`The output cannot be written: ${failure.message}`, { cause: failure })
    }
  }
}

function flush (stream: Writable): Promise<void> {
  return new Promise((resolve) => { stream.write('', () => { resolve() }) })
}
