/** A sentence for the person at the terminal; the process ends with 1. */
export class CommandError extends Error {}

/** The command line itself is wrong; the process ends with 2. */
export class UsageError extends CommandError {}
