import { Command, CommanderError, InvalidArgumentError, type Argument, type CommandUnknownOpts, type Option } from '@commander-js/extra-typings'
import { backup } from './backup.js'
import { contact } from './contact.js'
import { copy } from './copy.js'
import { UsageError, type CommandError } from './errors.js'
import { importExport } from './import/import.js'
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
  const flushed = watchOutput(io)
  try {
    // commander rejects after it has written what --help and --version ask for.
    await createProgram(io).parseAsync(argv, { from: 'user' }).catch((error: unknown) => {
      if (!(error instanceof CommanderError)) throw error
    })
    await flushed()
    return 0
  } catch (error) {
    const { message } = error as Error
    // Optional peer dependencies are not installed with the package. The sentence names the package too: npx runs it from its cache,
    // where it finds no other package.
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
  for (const addCommand of [serve, user, token, contact, importExport, backup, copy, migrate]) addCommand(program, io)
  explainMistakes(program, [])
  return program
}

/** Answers mistakes in the use of a command and its subcommands with a sentence. `path` is what a user types after the name of the program. */
function explainMistakes (command: CommandUnknownOpts, path: string[]): void {
  command.exitOverride((error) => {
    throw error.exitCode === 0 ? error : new UsageError(`${toSentence(command, error)}; see ${[...path, '--help'].join(' ')}`)
  })
  for (const option of command.options) if (!option.isBoolean()) refuseBlank(option)
  for (const argument of command.registeredArguments) refuseBlank(argument)
  for (const subcommand of command.commands) explainMistakes(subcommand, [...path, subcommand.name()])
}

/** A blank value comes from a shell variable that is not set. */
function refuseBlank (input: Option | Argument): void {
  const { parseArg } = input
  input.argParser((text: string, before: unknown) => {
    if (text.trim() === '') throw new InvalidArgumentError('It must not be blank')
    return parseArg === undefined ? text : parseArg<unknown>(text, before)
  })
}

/** Turns commander's message into the beginning of that sentence. */
function toSentence (command: CommandUnknownOpts, { code, message }: CommanderError): string {
  const names = command.commands.map((command) => command.name()).join(', ')
  const said = code === 'commander.help'
    ? `a command is missing, one of ${names}`
    : message
        .replace(/^error: /, '')
        .replace(/\n\(Did you mean (.*)\?\)$/, ', did you mean $1?')
        .replace(/(is invalid.*|too many arguments.*)\. ([A-Z])/s, (_, said: string, letter: string) => `${said}: ${letter.toLowerCase()}`)
        .replace(/\.$/, '')
  const known = code === 'commander.unknownCommand' && !said.includes('did you mean') ? `, known are ${names}` : ''
  return `${said.charAt(0).toUpperCase()}${said.slice(1)}${known}`
}
