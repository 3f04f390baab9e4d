// What a command is, and how its arguments are read. The table of a command's options makes its --help too.

import type { Readable, Writable } from 'node:stream'
import { parseArgs, type ParseArgsConfig } from 'node:util'
import { UsageError } from './errors.js'

/** What a command asks of its process. */
export interface Io {
  env: Record<string, string | undefined>
  stdin: Readable
  stdout: Writable
  stderr: Writable & { isTTY?: boolean }
  on (signal: 'SIGINT' | 'SIGTERM', listener: () => void): unknown
  off (signal: 'SIGINT' | 'SIGTERM', listener: () => void): unknown
  /** What a single-file build brings along, because it has no files to load. */
  embedded?: { sqlite: object, logo: Buffer }
}

export interface Option {
  /** What --help writes for the value; absent for a switch. */
  value?: string
  help: string
  /** The environment variable that is asked where the option is not given. */
  env?: string
  default?: string
  multiple?: boolean
}

export interface Command {
  /** One or two words. */
  name: string
  summary: string
  /** In brackets where it may be left out. */
  operands?: string[]
  /** More for --help. */
  details?: string
  options: Record<string, Option>
  run: (given: Given, io: Io) => void | Promise<void>
}

/** The arguments of one call. */
export interface Given {
  operands: string[]
  has: (option: string) => boolean
  text: (option: string) => string | undefined
  texts: (option: string) => string[]
}

/** @throws {UsageError} */
export function parse (command: Command, args: string[], env: Io['env']): Given {
  const { values, positionals: operands } = parseStrictly(command, args)
  const most = command.operands?.length ?? 0
  const missing = command.operands?.slice(operands.length).find((operand) => !operand.startsWith('['))
  if (values['help'] !== true) {
    if (missing !== undefined) throw new UsageError(`${missing} is missing; see ${command.name} --help`)
    if (operands.length > most) throw new UsageError(`Unexpected argument '${String(operands[most])}'; see ${command.name} --help`)
  }
  const given: Given = {
    operands,
    has: (option) => values[option] !== undefined,
    texts: (option) => [values[option] ?? []].flat() as string[],
    text: (option) => {
      const { env: variable = '', default: fallback } = command.options[option] as Option
      return given.texts(option)[0] ?? (env[variable] === '' ? undefined : env[variable]) ?? fallback
    }
  }
  return given
}

type Values = Record<string, string | boolean | Array<string | boolean> | undefined>

function parseStrictly (command: Command, args: string[]): { values: Values, positionals: string[] } {
  const options: NonNullable<ParseArgsConfig['options']> = { help: { type: 'boolean', short: 'h' } }
  for (const [name, { value, multiple = false }] of Object.entries(command.options)) {
    options[name] = { type: value === undefined ? 'boolean' : 'string', multiple }
  }
  try {
    return parseArgs({ args, options, allowPositionals: true })
  } catch (error) {
    // Node's further sentences are advice for other programs.
    const [sentence = ''] = (error as Error).message.split('. ')
    throw new UsageError(`${sentence}; see ${command.name} --help`)
  }
}

/** @throws {UsageError} when the option is not a whole number in the range */
export function wholeNumber (given: Given, option: string, from: number, to: number): number {
  const text = given.text(option) as string
  const number = Number(text)
  if (!/^\d+$/.test(text) || number < from || number > to) {
    throw new UsageError(`--${option} must be a whole number from ${from} to ${to}, and is '${text}'`)
  }
  return number
}
