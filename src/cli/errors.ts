/** A sentence for the person at the terminal; the process ends with 1. */
export class CommandError extends Error {}

/** The command line itself is wrong; the process ends with 2. */
export class UsageError extends CommandError {}

/** A signal ended the command; the process ends with the number that shells give to that. */
export class InterruptedError extends CommandError {
  constructor (message: string, readonly signal: NodeJS.Signals) { super(message) }
}
