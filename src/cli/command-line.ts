import { Command, CommanderError, InvalidArgumentError, type Argument, type CommandUnknownOpts, type Option } from '@commander-js/extra-typings'
import { backup } from './backup.js'
import { contact } from './contact.js'
import { copy } from './copy.js'
import { UsageError, type CommandError } from './errors.js'
import { importFiles } from './import/import.js'
import { migrate } from './migrate.js'
import { print, report, watchOutput } from './output.js'
import { hidePasswords } from './postgres.js'
import { serve } from './serve/serve.js'
import type { Io } from './shared.js'
import { token } from './token.js'
import { user } from './user.js'
import { version } from './version.js'

/** Runs one command and resolves to the exit code. Never rejects: an error becomes a sentence on stderr. */
export async function run (argv: string[], io: Io): Promise<number> {
  // All new files are private, because they hold tokens and contacts. SQLite gives its log the mode of the database file.
  process.umask(0o077)
  const flush = watchOutput(io)
  try {
    // After --help and --version commander rejects too, although it has printed what was asked for.
    await createProgram(io).parseAsync(argv, { from: 'user' }).catch((error: unknown) => {
      if (!(error instanceof CommanderError)) throw error
    })
    await flush()
    return 0
  } catch (error) {
    const { message } = error as Error
    // An optional peer dependency is missing. npx runs a copy of this package from its cache, which finds only what is installed beside it.
    const sentence = message.replace(/^Cannot find package '([^']*)'.*/s, 'The package $1 is missing: npm install fastify-omnichannel-contacts $1')
    report(io, hidePasswords(sentence, [...argv, process.env.OMNICHANNEL_DATABASE ?? '']))
    return (error as Partial<CommandError>).exitCode ?? 1
  }
}

/** The whole command line, for one run. */
export function createProgram (io: Io): Command {
  const program = new Command('fastify-omnichannel-contacts')
    .description('Serves contacts.update from a database file or a server, and maintains the database.')
    .version(version, '--version', 'print the version')
    .helpOption('-h, --help', 'print this')
    .addHelpText('after', '\nThe exit code is 0 on success, 1 on failure, and 2 when the command line is wrong.')
    .configureOutput({
      writeOut: (text) => { print(io, text) },
      // run() writes errors, as one sentence.
      writeErr: () => undefined,
      getOutHelpWidth: () => io.stdout.columns ?? 100
    })
  for (const addCommand of [serve, user, token, contact, importFiles, backup, copy, migrate]) addCommand(program, io)
  throwUsageErrors(program, [])
  return program
}

/** Makes a command and its subcommands throw a UsageError for each mistake. `path` has the names of its parents and its own. */
function throwUsageErrors (command: CommandUnknownOpts, path: string[]): void {
  command.exitOverride((error) => {
    throw error.exitCode === 0 ? error : new UsageError(`${toSentence(command, error)}; see ${[...path, '--help'].join(' ')}`)
  })
  for (const option of command.options) if (!option.isBoolean()) refuseBlank(option)
  for (const argument of command.registeredArguments) refuseBlank(argument)
  for (const subcommand of command.commands) throwUsageErrors(subcommand, [...path, subcommand.name()])
}

/** Refuses a blank value, which comes from a shell variable that is not set. */
function refuseBlank (input: Option | Argument): void {
  const { parseArg } = input
  input.argParser((text: string, previous: unknown) => {
    if (text.trim() === '') throw new InvalidArgumentError('It must not be blank')
    return parseArg === undefined ? text : parseArg<unknown>(text, previous)
  })
}

/** Rewrites commander's message in the style of the other messages, without a full stop. */
function toSentence (command: CommandUnknownOpts, { code, message }: CommanderError): string {
  const names = command.commands.map((command) => command.name()).join(', ')
  const sentence = code === 'commander.help'
    ? `a command is missing, one of ${names}`
    : message
        .replace(/^error: /, '')
        .replace(/\n\(Did you mean (.*)\?\)$/, ', did you mean $1?')
        // Two sentences become one, with a colon.
        .replace(/(is invalid.*|too many arguments.*)\. ([A-Z])/s, (_, first: string, letter: string) => `${first}: ${letter.toLowerCase()}`)
        .replace(/\.$/, '')
  const hint = code === 'commander.unknownCommand' && !sentence.includes('did you mean') ? `, known are ${names}` : ''
  return `${sentence.charAt(0).toUpperCase()}${sentence.slice(1)}${hint}`
}
