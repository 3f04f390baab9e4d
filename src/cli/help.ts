import type { Command, Option } from './command.js'

const program = 'fastify-omnichannel-contacts'

/** What `--help` prints for the program, or for the commands of one word. */
export function listCommands (commands: Command[]): string {
  return [
    `Usage: ${program} COMMAND`,
    '',
    ...columns(commands.map(({ name, operands = [], summary }) => [[name, ...operands].join(' '), summary])),
    '',
    `${program} COMMAND --help tells more; --version prints the version.`,
    'The exit code is 0 when all went well, 1 when it did not, and 2 when the command line is wrong.',
    ''
  ].join('\n')
}

/** What `COMMAND --help` prints. */
export function describeCommand ({ name, operands = [], summary, details, options }: Command): string {
  return [
    `Usage: ${[program, name, ...operands, '[OPTION]...'].join(' ')}`,
    '',
    `${summary}.`,
    ...details === undefined ? [] : ['', details],
    '',
    ...columns([
      ...Object.entries(options).map(([option, definition]): [string, string] => [usageOf(option, definition), helpOf(definition)]),
      ['-h, --help', 'print this']
    ]),
    ''
  ].join('\n')
}

function usageOf (option: string, { value, multiple = false }: Option): string {
  return `--${option}${value === undefined ? '' : ` ${value}`}${multiple ? ' ...' : ''}`
}

function helpOf ({ help, env, default: fallback }: Option): string {
  const notes = [
    ...fallback === undefined ? [] : [`default ${fallback}`],
    ...env === undefined ? [] : [`env ${env}`]
  ]
  return notes.length === 0 ? help : `${help} (${notes.join(', ')})`
}

function columns (rows: Array<[string, string]>): string[] {
  const width = Math.max(...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`)
}
