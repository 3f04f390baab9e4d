import { CommanderError } from 'commander'
import { constants } from 'node:os'
import type { Io } from './command.js'
import { InterruptedError, UsageError } from './errors.js'
import { explainMissingPackage } from './explain.js'
import { hidePasswords } from './open-server.js'
import { report, watchOutput } from './output.js'
import { createProgram } from './program.js'

/** Runs one command and resolves to the exit code. Never rejects: what went wrong is a sentence on stderr. */
export async function run (argv: string[], io: Io): Promise<number> {
  const output = watchOutput(io)
  try {
    await dispatch(argv, io)
    await output.written()
    return 0
  } catch (error) {
    const sentence = explainMissingPackage(error as Error) ?? (error as Error).message
    report(io, hidePasswords(sentence, [...argv, process.env.OMNICHANNEL_DATABASE ?? '']))
    if (error instanceof InterruptedError) return 128 + constants.signals[error.signal]
    return error instanceof UsageError ? 2 : 1
  }
}

async function dispatch (argv: string[], io: Io): Promise<void> {
  try {
    await createProgram(io).parseAsync(argv, { from: 'user' })
  } catch (error) {
    // So commander ends --help and --version, when all is written.
    if (!(error instanceof CommanderError)) throw error
  }
}
