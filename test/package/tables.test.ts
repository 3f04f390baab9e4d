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
import { build } from '../helpers/build.js'
import { codesOf, doc, readme, type Row } from './pages.js'

t.test('options in the README: those of the code, with their defaults', async (t) => {
  const database = new Database(':memory:')
  t.teardown(() => { database.close() })
  const register = async (options: object) => {
    await fastify().register(omnichannelContacts, { database, ...options })
  }
  const rows = readme.tableOf('Options')
  const error = await register({ xyzzy: true }).then(() => undefined, (error: unknown) => error as Error)
  t.equal(error?.message, `Unknown option "xyzzy"; known are ${rows.map(({ option }) => codesOf(option!)[0]).join(', ')}`)

  const settings = checkOptions({ database })
  for (const { option, default: text } of rows) {
    const name = codesOf(option!)[0] as keyof OmnichannelContactsOptions
    const { [name]: value } = settings
    if (text === 'required') await t.rejects(register({ [name]: undefined }), { code: 'FOC_INVALID_OPTION' }, name)
    else t.equal(codesOf(text!)[0], value === undefined ? undefined : String(value as string | number | boolean), name)
  }
  const sections = [...doc('options').text.matchAll(/^## (.*)$/gm)].map(([, heading]) => heading!)
  t.strictSame(sections.slice(0, rows.length), rows.map(({ option }) => codesOf(option!)[0]), 'docs/options.md has a section for each, in this order')
  for (const name of ['logLevel', 'logSerializers']) t.match(doc('options').text, `\`${name}\``)
  await t.resolves(register({ logLevel: 'silent', logSerializers: {} }))
})

interface CodedError extends Error { code: string, statusCode: number }
const classes = Object.entries(exported as object)
  .filter((entry): entry is [string, new (...values: unknown[]) => CodedError] => /^[A-Z].*Error$/.test(entry[0]))

t.test('errors in docs/errors.md: every class, with status and text or with its code', async (t) => {
  const rows = doc('errors').tableOf('What a caller gets')
  const inTable = rows.flatMap((row) => codesOf(row.class!))
  // This code is only in the log, so it has no class.
  const codes = doc('errors').text.match(/\bFOC_[A-Z_]+\b/g)!.filter((code) => code !== UPDATE_FAILED)
  const classOf = (code: string) => code.slice('FOC'.length).toLowerCase().replaceAll(/_(.)/g, (_, letter: string) => letter.toUpperCase()) + 'Error'
  t.strictSame(new Set([...inTable, ...codes.map(classOf)]), new Set(classes.map(([name]) => name)))

  for (const [name, Class] of classes) {
    const error = new Class('…', '…', '…')
    t.equal(classOf(error.code), name)
    const row = rows.find((row) => codesOf(row.class!).includes(name))
    if (row === undefined) continue
    t.equal(row.status, String(error.statusCode), name)
    // Arguments without a placeholder are appended to the message.
    const message = error.message.replace(/(?: …)*$/, '')
    t.equal(codesOf(row.error!)[0]!.replace(/ \[[\w-]+\]$/, '').replace(/<\w+>/, '…'), message, name)
  }
})

t.test('errors in docs/errors.md: every status, and the texts without a class', async (t) => {
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
    const [start, end] = codesOf(row.error!)[0]!.split('…') as [string, string?]
    const { error } = reply.json<{ error: string }>()
    t.ok(end === undefined ? error === start : error.startsWith(start) && error.endsWith(end), error)
  }
})

t.test('errors in the tables Troubleshooting: are in docs/errors.md', async (t) => {
  const texts = [...doc('errors').tableOf('What a caller gets'), ...doc('errors').tableOf('Common causes of 400')].map((row) => codesOf(row.error!)[0]!)
  for (const { path, rows } of [
    { path: 'README.md', rows: readme.tableOf('Troubleshooting').map(({ answer }) => answer!) },
    { path: 'docs/rocket-chat.md', rows: doc('rocket-chat').tableOf('Troubleshooting').map(({ symptom }) => symptom!) }
  ]) {
    for (const shown of rows.flatMap(codesOf).filter((code) => !/^[\w.-]+$/.test(code) || code.startsWith('error-'))) {
      const [start, end = ''] = shown.split('…') as [string, string?]
      t.ok(texts.some((text) => text.startsWith(start) && text.endsWith(end)), `${path}: ${shown}`)
    }
  }
})

t.test('log lines in docs/operations.md: all lines of the plugin, and each is in the source', async (t) => {
  const sources = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))
  const textOf = (names: string[]): string => names.map((name) => readFileSync(join('src', name), 'utf8')).join('\n')
  const plugin = textOf(sources.filter((name) => !name.startsWith('cli')))
  // Calls of log.warn() and the like, and of our functions logFailure() and logFailedHook().
  const calls = /(?:log\.(\w+)\((?:\{.*?\}, )?|logFail\w+\((?:[^'`]*?))['`]([^'`]+)['`](?:, '(info|warn)')?\)/g
  const logged = [...plugin.matchAll(calls)].map(([, called, message, given = 'error']) => [called ?? given, message!] as const)
  t.ok(logged.length > 5)
  const shown = doc('operations').tableOf('Log lines').map(({ level, message }) => [level!, codesOf(message!)[0]!.split('…')[0]!] as const)
  for (const [level, message] of logged) {
    t.ok(shown.some(([each, start]) => each === level && message.startsWith(start)), `${level}: ${message}`)
  }
  for (const [, start] of shown) t.match(textOf(sources), start)
})

t.test('docs/monitoring.md: the fields of a message, and the metrics', async (t) => {
  const namesOf = (heading: string, title: string) => doc('monitoring').tableOf(heading, title).map((row) => codesOf(row[title]!)[0]!)
  const channel = 'tracing:fastify-omnichannel-contacts:update:asyncEnd'
  const messages: object[] = []
  const keep = (message: unknown): void => { messages.push(message as object) }
  subscribe(channel, keep)
  t.teardown(() => unsubscribe(channel, keep))
  const { update } = await build(t)
  await update({ contactId: 'maria', name: 'A' })
  t.strictSame(namesOf('Diagnostics channels', 'field').sort(), Object.keys(messages[0]!).sort())

  const source = readFileSync('src/cli/serve/metrics.ts', 'utf8')
  const metrics = new Set(Array.from(source.matchAll(/'(omnichannel_\w+)'/g), ([, name]) => name!))
  t.ok(metrics.size > 5)
  t.strictSame(namesOf('Metrics of `serve`', 'metric').filter((name) => name.startsWith('omnichannel_')).sort(), [...metrics].sort())
})

t.test('the body in README and contract: its keys and types, and the effect of null, "" and []', async (t) => {
  const { update } = await build(t)
  await update({ contactId: 'maria', customFields: { plan: 'gold' } })
  const rows = doc('contract').tableOf('1. The request', 'key').flatMap((row) => codesOf(row.key!).map((key): Row & { key: string } => ({ ...row, key })))
  const { properties, required } = UpdateContactBody
  t.strictSame(rows.map(({ key }) => key), Object.keys(properties))
  t.strictSame(rows.filter((row) => row['']!.startsWith('required')).map(({ key }) => key), required)
  const inReadme = readme.tableOf('The request').flatMap((row) => codesOf(row.key!).map((key) => [key, row.type]))
  t.strictSame(inReadme, rows.map(({ key, type }) => [key, type]), 'the README has the same keys and types')

  const before = (await update({ contactId: 'maria' })).json<{ contact: Record<string, unknown> }>().contact
  for (const row of rows) {
    const { key } = row
    const property = properties[key as keyof typeof properties]
    t.equal(row.type, (property as { type: string }).type, key)
    for (const [column, value] of [['null', null], ['""', ''], ['[]', []]] as const) {
      const reply = await update({ contactId: 'maria', [key]: value })
      const after = reply.json<{ contact?: Record<string, unknown> }>().contact
      const part = key === 'wipeConflicts' ? 'conflictingFields' : key
      const [was, is] = [before[part], after?.[part]].map((value) => JSON.stringify(value))
      const outcome = reply.statusCode === 400 ? '400' : is === was ? 'kept' : is === undefined || is === '[]' ? 'emptied' : is
      t.equal(row[column], outcome, `${key} ${column}`)
      await update({ contactId: 'maria', emails: ['maria@example.com', 'm@example.org'], phones: ['+49 30 1'], contactManager: 'bob' })
    }
  }
})

t.test('commands in docs/command-line.md: those of the program, with their options', async (t) => {
  const inDocs = doc('command-line').tableOf('Commands').map((row) => {
    const [name = '', subcommands = ''] = codesOf(row.command!)[0]!.split(' ')
    return { name, subcommands, options: codesOf(row.options!) }
  })
  const leavesOf = (command: Command): Command[] => command.commands.length === 0 ? [command] : command.commands.flatMap(leavesOf)
  const commands = createProgram({ ...process, readAsset: () => Buffer.of() }).commands
  t.strictSame(inDocs, commands.map((command) => ({
    name: command.name(),
    subcommands: command.commands.map((each) => each.name()).join('|'),
    options: leavesOf(command).flatMap(({ options }) => options.map((option) => option.long!)).filter((name) => name !== '--database')
  })))

  const [file, server] = doc('command-line').tableOf('The database').map((row) => codesOf(row['']!))
  const databaseOf = (command: Command) => leavesOf(command).map(({ options }) => options.find(({ long }) => long === '--database'))
  const commandsWhose = (test: (databaseOption: Option | undefined) => boolean) =>
    commands.filter((command) => databaseOf(command).every(test)).map((command) => command.name())
  t.strictSame(file, [...commandsWhose((option) => option === undefined), 'omnichannel.db'])
  t.strictSame(server!.sort(), commandsWhose((option) => option?.description.includes('server') !== true).sort())
  for (const option of commands.flatMap(databaseOf)) if (option !== undefined) t.equal(option.defaultValue, 'omnichannel.db')

  const ofServe = commands.find((command) => command.name() === 'serve')!.options
  const settings = doc('command-line').section('Settings in the environment')
  const unset = ofServe.filter(({ envVar }) => envVar === undefined).map(({ long }) => long)
  t.strictSame(unset, codesOf(settings).filter((code) => /^--(?!database)/.test(code)))
  t.ok(ofServe.some(({ envVar }) => settings.includes(`\`${envVar}=`)))
})
