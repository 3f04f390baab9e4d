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
  const parts = readdirSync(folder).sort().flatMap((file) => {
    const paragraphs = readFileSync(new URL(file, folder), 'utf8').trimEnd().split('\n\n')
    return paragraphs.map((sql): Part => ({ migration: parseInt(file), sql, ...describe(sql) }))
  })
  const isReplaced = (name: string, index: number): boolean => parts.slice(index + 1).some(({ creates }) => creates === name)
  // A dropped index or trigger is created again from its newest definition, so only that part keeps the name.
  return parts.map(({ creates, ...part }, index) => creates === undefined || isReplaced(creates, index) ? part : { ...part, creates })
}

/** An ALTER TABLE: the table, the definition of the new column, and its name. */
const alterTable = /^ALTER TABLE (?:main\.)?(?<table>\w+) ADD COLUMN (?:IF NOT EXISTS )?(?<definition>(?<column>\w+) .*);$/m
/** Any CREATE: the name, and the table of an index or a trigger. */
const create = /^CREATE (?:OR REPLACE )?(?:TABLE|INDEX|TRIGGER) (?:IF NOT EXISTS )?(?:main\.)?(?<name>\w+)(?:[^(]*? ON (?<table>\w+))?/m

/** Finds what a paragraph creates. A column has the name `table.column`. */
function describe (sql: string): Pick<Part, 'creates' | 'table'> {
  const { table: alteredTable, column } = alterTable.exec(sql)?.groups ?? {}
  if (alteredTable !== undefined) return { creates: `${alteredTable}.${column}`, table: alteredTable }
  const { name, table } = create.exec(sql)?.groups ?? {}
  return { ...name !== undefined && { creates: name }, ...table !== undefined && { table } }
}

/** One script with the result of all migrations. Its CREATE TABLE also has the columns that were added later. */
function joinParts (parts: Part[]): string {
  const isColumn = ({ creates }: Part): boolean => creates?.includes('.') === true
  const isComment = ({ sql }: Part): boolean => /^(--.*\n?)+$/.test(sql)
  const kept = parts.filter((part) => part.creates === undefined ? isComment(part) : !isColumn(part))
  return parts.filter(isColumn).reduce(addColumn, `${kept.map(({ sql }) => sql).join('\n\n')}\n`)
}

/** Writes the column of an ALTER TABLE, with its comment, into the CREATE TABLE of a script. */
function addColumn (script: string, { sql }: Part): string {
  const { table, definition = '', column = '' } = alterTable.exec(sql)?.groups ?? {}
  const comment = sql.slice(0, sql.indexOf('ALTER')).replace(/^-- /gm, '  -- ')
  const bodyOfTable = new RegExp(`(?<=^CREATE TABLE IF NOT EXISTS ${table} \\(\n).*?^\\)`, 'ms')
  return script.replace(bodyOfTable, (body) => {
    // Align the type with those of the other columns.
    const nameWidth = /\w+ +/.exec(body)?.[0].length ?? 0
    const line = `  ${column.padEnd(nameWidth - 1)} ${definition.slice(column.length + 1)}`
    // After the last column, where ALTER TABLE puts it, and before the constraints, which begin with capitals.
    return body.replace(/(,?)\n(?=\)| {2}[A-Z]{5})/, `,\n${comment}${line}$1\n`)
  })
}

/** The columns of each table with their types. A column is a line of a table's body that starts with a lower-case name. */
function readTables (script: string): Schema['tables'] {
  const columnsIn = (body: string): Record<string, string> =>
    Object.fromEntries([...body.matchAll(/^ {2}([a-z]\w*) +(\w+)/gm)].map(([, name = '', type = '']) => [name, type]))
  const tables = [...script.matchAll(/^CREATE TABLE IF NOT EXISTS (\w+) \($(.*?)^\)/gms)]
  return Object.fromEntries(tables.map(([, table = '', body = '']) => [table, columnsIn(body)]))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [path, text] of Object.entries(generate())) writeFileSync(new URL(path, root), text)
}
