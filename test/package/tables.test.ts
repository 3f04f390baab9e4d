// The tables of README and docs agree with the code.

import Database from 'better-sqlite3'
import type { CommandUnknownOpts as Command, Option } from '@commander-js/extra-typings'
import fastify from 'fastify'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createProgram } from '../../src/cli/command-line.js'
import * as exported from '../../src/errors.js'
import { describeOperation } from '../../src/http/openapi.js'
import { UPDATE_FAILED } from '../../src/http/replies.js'
import omnichannelContacts, { UpdateContactBody, type OmnichannelContactsOptions } from '../../src/index.js'
import { checkOptions } from '../../src/options.js'
import { build } from '../helpers/test-server.js'
import { codesOf, doc, readme, type Row } from './pages.js'

t.test('options in the README: those of the code, with their defaults', async (t) => {
  const database = new Database(':memory:')
  t.teardown(() => { database.close() })
  const register = async (options: object) => {
    await fastify().register(omnichannelContacts, { database, ...options })
  }
  const rows = readme.tableOf('Options')
  const names = rows.map(({ option }) => codesOf(option!)[0])
  const error: unknown = await register({ xyzzy: true }).catch((error: unknown) => error)
  t.equal((error as Error).message, `Unknown option "xyzzy"; known are ${names.join(', ')}`)

  const settings = checkOptions({ database })
  for (const { option, default: text } of rows) {
    const name = codesOf(option!)[0] as keyof OmnichannelContactsOptions
    const { [name]: value } = settings
    if (text === 'required') await t.rejects(register({ [name]: undefined }), { code: 'FOC_INVALID_OPTION' }, name)
    else t.equal(codesOf(text!)[0], value === undefined ? undefined : String(value as string | number | boolean), name)
  }
  const sections = [...doc('options').text.matchAll(/^## (.*)$/gm)].map(([, heading]) => heading!)
  t.strictSame(sections.slice(0, rows.length), names, 'docs/options.md has a section for each, in this order')
  for (const name of ['logLevel', 'logSerializers']) t.match(doc('options').text, `\`${name}\``)
  await t.resolves(register({ logLevel: 'silent', logSerializers: {} }))
})

type ErrorClass = new (...values: unknown[]) => Error & { code: string, statusCode: number }
const errorClasses = Object.entries(exported as object).filter((entry): entry is [name: string, ErrorClass] => /^[A-Z].*Error$/.test(entry[0]))

/** The class of a code: `ContactNotFoundError` of `FOC_CONTACT_NOT_FOUND`. */
function classOf (code: string): string {
  return code.slice('FOC'.length).toLowerCase().replaceAll(/_(.)/g, (_, letter: string) => letter.toUpperCase()) + 'Error'
}

t.test('errors in docs/errors.md: every class, either with status and text or with its code', async (t) => {
  const rows = doc('errors').tableOf('What a caller gets')
  const inTable = rows.flatMap((row) => codesOf(row.class!))
  // This code is only in the log, so it has no class.
  const codes = doc('errors').text.match(/\bFOC_[A-Z_]+\b/g)!.filter((code) => code !== UPDATE_FAILED)
  t.strictSame(new Set([...inTable, ...codes.map(classOf)]), new Set(errorClasses.map(([name]) => name)))

  for (const [name, ErrorClass] of errorClasses) {
    // Up to three values for the placeholders of a message.
    const error = new ErrorClass('…', '…', '…')
    t.equal(classOf(error.code), name)
    const row = rows.find((row) => codesOf(row.class!).includes(name))
    if (row === undefined) continue
    t.equal(row.status, String(error.statusCode), name)
    // Values without a placeholder are appended to the message.
    const message = error.message.replace(/(?: …)*$/, '')
    // The page shows a placeholder as `<label>`, and the text of Rocket.Chat's errors ends in a code such as ` [invalid-params]`.
    const documented = codesOf(row.error!)[0]!.replace(/ \[[\w-]+\]$/, '').replace(/<\w+>/, '…')
    t.equal(documented, message, name)
  }
})

t.test('errors in docs/errors.md: every status, and the real texts of errors without a class', async (t) => {
  const rows = doc('errors').tableOf('What a caller gets')
  const { response } = describeOperation('/', true) as unknown as { response: object }
  t.strictSame([...new Set(rows.map((row) => row.status))], Object.keys(response).filter((status) => status !== '200'))

  const { update } = await build(t, {
    bodyLimit: 100,
    host: (app) => {
      app.addHook('onRequest', async ({ headers }) => {
        if (headers['x-fail'] !== undefined) throw Object.assign(new Error(), { statusCode: Number(headers['x-fail']) })
      })
    }
  })
  for (const row of rows.filter((row) => row.class === '')) {
    const status = row.status!
    const reply = await (status === '413' ? update({ contactId: 'x'.repeat(100) }) : update({}, { 'x-fail': status }))
    t.equal(reply.statusCode, Number(status))
    const { error } = reply.json<{ error: string }>()
    t.ok(isAbbreviation(codesOf(row.error!)[0]!, error), error)
  }
})

/** Whether a text with `…` in place of a part, or as a whole, is this text. */
function isAbbreviation (shown: string, text: string): boolean {
  const [start, end] = shown.split('…') as [start: string, end?: string]
  return end === undefined ? text === start : text.startsWith(start) && text.endsWith(end)
}

t.test('errors in the tables Troubleshooting: are in docs/errors.md', async (t) => {
  const texts = [...doc('errors').tableOf('What a caller gets'), ...doc('errors').tableOf('Common causes of 400')].map((row) => codesOf(row.error!)[0]!)
  for (const { path, rows } of [
    { path: 'README.md', rows: readme.tableOf('Troubleshooting').map(({ answer }) => answer!) },
    { path: 'docs/rocket-chat.md', rows: doc('rocket-chat').tableOf('Troubleshooting').map(({ symptom }) => symptom!) }
  ]) {
    // Other single words, such as the name of a field, are not errors.
    const errors = rows.flatMap(codesOf).filter((code) => !/^[\w.-]+$/.test(code) || code.startsWith('error-'))
    for (const error of errors) t.ok(texts.some((text) => isAbbreviation(error, text)), `${path}: ${error}`)
  }
})

t.test('log lines in docs/operations.md: all that the plugin can write, and each is in the source', async (t) => {
  const sources = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))
  const textOf = (names: string[]): string => names.map((name) => readFileSync(join('src', name), 'utf8')).join('\n')
  const plugin = textOf(sources.filter((name) => !name.startsWith('cli')))
  // Calls such as log.warn({ err }, 'message'), and of our functions logFailure() and logFailedHook(), which may end in a level.
  const logCalls = /(?:log\.(\w+)\((?:\{.*?\}, )?|logFail\w+\((?:[^'`]*?))['`]([^'`]+)['`](?:, '(info|warn)')?\)/g
  const inSource = [...plugin.matchAll(logCalls)].map(([, method, message, levelArgument = 'error']) =>
    ({ level: method ?? levelArgument, message: message! }))
  t.ok(inSource.length > 5)
  const inDocs = doc('operations').tableOf('Log lines').map(({ level, message }) => ({ level: level!, start: codesOf(message!)[0]!.split('…')[0]! }))
  for (const { level, message } of inSource) {
    t.ok(inDocs.some((line) => line.level === level && message.startsWith(line.start)), `${level}: ${message}`)
  }
  for (const { start } of inDocs) t.match(textOf(sources), start)
})

/** The names in the first column of a table of docs/monitoring.md. */
function namesInMonitoring (heading: string, title: string): string[] {
  return doc('monitoring').tableOf(heading, title).map((row) => codesOf(row[title]!)[0]!)
}

t.test('fields in docs/monitoring.md: those of a message on the diagnostics channels', async (t) => {
  const channel = 'tracing:fastify-omnichannel-contacts:update:asyncEnd'
  const messages: object[] = []
  const onMessage = (message: unknown): void => { messages.push(message as object) }
  subscribe(channel, onMessage)
  t.teardown(() => unsubscribe(channel, onMessage))
  const { update } = await build(t)
  await update({ contactId: 'maria', name: 'A' })
  t.strictSame(namesInMonitoring('Diagnostics channels', 'field').sort(), Object.keys(messages[0]!).sort())
})

t.test('metrics in docs/monitoring.md: those of serve', async (t) => {
  const source = readFileSync('src/cli/serve/metrics.ts', 'utf8')
  const metrics = new Set(Array.from(source.matchAll(/'(omnichannel_\w+)'/g), ([, name]) => name!))
  t.ok(metrics.size > 5)
  // The others are of prom-client.
  const inDocs = namesInMonitoring('Metrics of `serve`', 'metric').filter((name) => name.startsWith('omnichannel_'))
  t.strictSame(inDocs.sort(), [...metrics].sort())
})

/** The rows about the body in docs/contract.md, with one row for each key. */
const rowsOfBody = doc('contract').tableOf('1. The request', 'key')
  .flatMap((row) => codesOf(row.key!).map((key): Row & { key: string } => ({ ...row, key })))

t.test('the body in README and contract: the keys and types of the schema', async (t) => {
  const { properties, required } = UpdateContactBody
  t.strictSame(rowsOfBody.map(({ key }) => key), Object.keys(properties))
  for (const { key, type } of rowsOfBody) t.equal(type, (properties[key as keyof typeof properties] as { type: string }).type, key)
  t.strictSame(rowsOfBody.filter((row) => row['']!.startsWith('required')).map(({ key }) => key), required)
  const inReadme = readme.tableOf('The request').flatMap((row) => codesOf(row.key!).map((key) => [key, row.type]))
  t.strictSame(inReadme, rowsOfBody.map(({ key, type }) => [key, type]), 'the README has the same keys and types')
})

t.test('the body in the contract: each key has the effect of null, "" and [] that the table says', async (t) => {
  const { update } = await build(t)
  await update({ contactId: 'maria', customFields: { plan: 'gold' } })
  const before = (await update({ contactId: 'maria' })).json<{ contact: Record<string, unknown> }>().contact
  const effectOf = async (key: string, value: unknown): Promise<string | undefined> => {
    const reply = await update({ contactId: 'maria', [key]: value })
    if (reply.statusCode === 400) return '400'
    const { contact } = reply.json<{ contact: Record<string, unknown> }>()
    const part = key === 'wipeConflicts' ? 'conflictingFields' : key
    const [jsonBefore, jsonAfter] = [JSON.stringify(before[part]), JSON.stringify(contact[part]) as string | undefined]
    if (jsonAfter === jsonBefore) return 'kept'
    return jsonAfter === undefined || jsonAfter === '[]' ? 'emptied' : jsonAfter
  }
  for (const row of rowsOfBody) {
    for (const [column, value] of [['null', null], ['""', ''], ['[]', []]] as const) {
      t.equal(row[column], await effectOf(row.key, value), `${row.key} ${column}`)
      await update({ contactId: 'maria', emails: ['maria@example.com', 'm@example.org'], phones: ['+49 30 1'], contactManager: 'bob' })
    }
  }
})

const { commands } = createProgram({ ...process, readAsset: () => Buffer.of() })

/** The subcommands of a command, or the command itself if it has none. */
function leavesOf (command: Command): Command[] {
  return command.commands.length === 0 ? [command] : command.commands.flatMap(leavesOf)
}

/** The option --database of a command, or of each of its subcommands. */
function databaseOptionsOf (command: Command): Array<Option | undefined> {
  return leavesOf(command).map(({ options }) => options.find(({ long }) => long === '--database'))
}

t.test('commands in docs/command-line.md: those of the program, with their options', async (t) => {
  const inDocs = doc('command-line').tableOf('Commands').map((row) => {
    const [name = '', subcommands = ''] = codesOf(row.command!)[0]!.split(' ')
    return { name, subcommands, options: codesOf(row.options!) }
  })
  t.strictSame(inDocs, commands.map((command) => ({
    name: command.name(),
    subcommands: command.commands.map((each) => each.name()).join('|'),
    options: leavesOf(command).flatMap(({ options }) => options.map((option) => option.long!)).filter((name) => name !== '--database')
  })))
})

t.test('databases in docs/command-line.md: the commands without --database, and those that accept no server', async (t) => {
  const [codesOfFileRow, codesOfServerRow] = doc('command-line').tableOf('The database').map((row) => codesOf(row['']!))
  const commandsWhere = (isTrue: (databaseOption: Option | undefined) => boolean) =>
    commands.filter((command) => databaseOptionsOf(command).every(isTrue)).map((command) => command.name())
  t.strictSame(codesOfFileRow, [...commandsWhere((option) => option === undefined), 'omnichannel.db'])
  t.strictSame(codesOfServerRow!.sort(), commandsWhere((option) => option?.description.includes('server') !== true).sort())
  for (const option of commands.flatMap(databaseOptionsOf)) if (option !== undefined) t.equal(option.defaultValue, 'omnichannel.db')
})

t.test('settings in docs/command-line.md: the page names all options of serve that have no variable', async (t) => {
  const { options } = commands.find((command) => command.name() === 'serve')!
  const section = doc('command-line').section('Settings in the environment')
  const withoutVariable = options.filter(({ envVar }) => envVar === undefined).map(({ long }) => long)
  t.strictSame(withoutVariable, codesOf(section).filter((code) => /^--(?!database)/.test(code)))
  t.ok(options.some(({ envVar }) => section.includes(`\`${envVar}=`)), 'one variable as an example')
})
