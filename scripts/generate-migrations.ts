// Generates files from src/store/migrations/*/*.sql: the module with their SQL, schema.sql and schema.postgres.sql. A test fails if they
// differ from what is generated.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Part, Schema } from '../src/store/required-tables.js'

const root = new URL('../', import.meta.url)
// On SQLite, names have the prefix main, so that no temporary table is used instead.
const engines = [
  { engine: 'sqlite', file: 'schema.sql', prefix: 'main.' },
  { engine: 'postgres', file: 'schema.postgres.sql', prefix: '' }
] as const

/** The texts of all generated files, by their paths. */
export function generate (): Record<string, string> {
  const schemas = engines.map(({ engine, file, prefix }) => {
    const parts = readParts(engine)
    const script = joinParts(parts)
    return { engine, file, script, schema: { version: parts.at(-1)?.migration ?? 0, prefix, tables: readTables(script), parts } satisfies Schema }
  })
  return {
    'src/store/migrations/generated.ts': `// Made by \`npm run generate\` of the SQL files beside it.

import type { Schema } from '../required-tables.js'
${schemas.map(({ engine, schema }) => `\nexport const ${engine}: Schema = ${JSON.stringify(schema, null, 2)}\n`).join('')}`,
    ...Object.fromEntries(schemas.map(({ file, script }) => [file, script]))
  }
}

/** The paragraphs of an engine's migrations. Each creates one thing, or is a comment. */
function readParts (engine: string): Part[] {
  const folder = new URL(`src/store/migrations/${engine}/`, root)
  const parts = readdirSync(folder).sort().flatMap((file) =>
    readFileSync(new URL(file, folder), 'utf8').trimEnd().split('\n\n').map((sql): Part => ({ migration: parseInt(file), sql, ...describe(sql) })))
  // A repair uses the newest definition of a name.
  return parts.map(({ creates, ...part }, index) =>
    creates === undefined || parts.slice(index + 1).some((later) => later.creates === creates) ? part : { ...part, creates })
}

const column = /^ALTER TABLE (?:main\.)?(\w+) ADD COLUMN (?:IF NOT EXISTS )?((\w+) .*);$/m

/** Finds what a paragraph creates. */
function describe (sql: string): Pick<Part, 'creates' | 'table'> {
  const [, table, , name] = column.exec(sql) ?? []
  if (table !== undefined) return { creates: `${table}.${name}`, table }
  const [, creates, on] = /^CREATE (?:OR REPLACE )?(?:TABLE|INDEX|TRIGGER) (?:IF NOT EXISTS )?(?:main\.)?(\w+)(?:[^(]*? ON (\w+))?/m.exec(sql) ?? []
  return { ...creates !== undefined && { creates }, ...on !== undefined && { table: on } }
}

/** One script with the result of all migrations. Columns that were added later stand in CREATE TABLE. */
function joinParts (parts: Part[]): string {
  const script = parts.filter(({ sql, creates }) => creates !== undefined ? !creates.includes('.') : /^(--.*\n?)+$/.test(sql)).map(({ sql }) => sql).join('\n\n')
  return parts.filter(({ creates }) => creates?.includes('.')).reduce(addColumn, `${script}\n`)
}

/** Writes the column of an ALTER TABLE, with its comment, into the CREATE TABLE of a script. */
function addColumn (script: string, { sql }: Part): string {
  const [, table, definition = '', name = ''] = column.exec(sql) ?? []
  const comment = sql.slice(0, sql.indexOf('ALTER')).replace(/^-- /gm, '  -- ')
  return script.replace(new RegExp(`(?<=^CREATE TABLE IF NOT EXISTS ${table} \\(\n).*?^\\)`, 'ms'), (body) => {
    const width = /\w+ +/.exec(body)?.[0].length ?? 0
    // After the last column, where ALTER TABLE puts it, and before the constraints.
    return body.replace(/(,?)\n(?=\)| {2}[A-Z]{5})/, `,\n${comment}  ${name.padEnd(width - 1)} ${definition.slice(name.length + 1)}$1\n`)
  })
}

/** The columns of each table with their types. A column is a line of a table's body that starts with a lower-case name. */
function readTables (script: string): Schema['tables'] {
  const columnsOf = (body: string): Record<string, string> =>
    Object.fromEntries([...body.matchAll(/^ {2}([a-z]\w*) +(\w+)/gm)].map(([, name = '', type = '']) => [name, type]))
  return Object.fromEntries([...script.matchAll(/^CREATE TABLE IF NOT EXISTS (\w+) \($(.*?)^\)/gms)].map(([, table = '', body = '']) =>
    [table, columnsOf(body)]))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [path, text] of Object.entries(generate())) writeFileSync(new URL(path, root), text)
}
