import { parse, type Command, type Io } from './command.js'
import { contact } from './contact.js'
import { UsageError } from './errors.js'
import { describeCommand, listCommands } from './help.js'
import { importExport } from './import/import.js'
import { serve } from './serve/serve.js'
import { createToken, listTokens, revokeToken } from './token.js'
import { activateUser, addUser, deactivateUser, listUsers, removeUser } from './user.js'
import { version } from './version.js'

const commands: Command[] = [
  serve,
  addUser, listUsers, deactivateUser, activateUser, removeUser,
  createToken, listTokens, revokeToken,
  contact,
  importExport
]

/** Runs one command and resolves to the exit code. Never rejects: what went wrong is a sentence on stderr. */
export async function run (argv: string[], io: Io): Promise<number> {
  try {
    await dispatch(argv, io)
    return 0
  } catch (error) {
    io.stderr.write(`${(error as Error).message.replace(/\s+/g, ' ')}\n`)
    return error instanceof UsageError ? 2 : 1
  }
}

async function dispatch (argv: string[], io: Io): Promise<void> {
  const [first = '', second = ''] = argv
  if (first === '--version') return print(io, `${version}\n`)
  if (['--help', '-h', 'help'].includes(first)) return print(io, listCommands(commands))

  const command = commands.find(({ name }) => name === first || name === `${first} ${second}`)
  if (command !== undefined) {
    const given = parse(command, argv.slice(command.name.split(' ').length), io.env)
    if (given.has('help')) return print(io, describeCommand(command))
    return await command.run(given, io)
  }

  const group = commands.filter(({ name }) => name.startsWith(`${first} `))
  if (group.length > 0 && ['--help', '-h'].includes(second)) return print(io, listCommands(group))
  if (first === '') throw new UsageError('A command is missing; see --help')
  const known = group.length > 0 ? group : commands
  const name = group.length > 0 ? `${first} ${second}`.trim() : first
  throw new UsageError(`Unknown command '${name}'; known are ${known.map((known) => known.name).join(', ')}`)
}

function print (io: Io, text: string): void {
  io.stdout.write(text)
}
