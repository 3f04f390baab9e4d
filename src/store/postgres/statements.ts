// Queries as they are sent to PostgreSQL. Names are not qualified: the host's search_path says where its tables are.

import { hash } from 'node:crypto'
import {
  AliasNode, ColumnNode, IdentifierNode, Kysely, PostgresDialect, PostgresQueryCompiler, RawNode, ReferenceNode, SelectionNode,
  type PostgresDialectConfig
} from 'kysely'
import { compileQuery } from '../compile-query.js'
import { postgresSql } from '../engine-sql.js'
import { WRITE_WAS_CHANGED, type Query, type QueryDefinition } from '../operation.js'
import type { Tables } from '../tables.js'
import { parserOf, toParameter } from './codec.js'
import type { PostgresQuery, PostgresResult } from './handle.js'

const timeFormat = `'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'`

/**
 * Selects times as text in the format of the API, independent of the session's TimeZone and DateStyle. A column of the host's may be a
 * `timestamp`, which has no zone and is in UTC.
 */
class Compiler extends PostgresQueryCompiler {
  protected override visitSelection (node: SelectionNode): void {
    const { selection } = node
    const name = ReferenceNode.is(selection) && ColumnNode.is(selection.column) ? selection.column.column.name : ''
    if (!name.endsWith('_at')) return super.visitSelection(node)
    const parts = [
      'case pg_typeof(', `) when 'timestamp'::regtype then to_char(`, `, ${timeFormat}) else to_char(`, ` at time zone 'UTC', ${timeFormat}) end`
    ]
    const text = RawNode.create(parts, [selection, selection, selection])
    super.visitSelection(SelectionNode.create(AliasNode.create(text, IdentifierNode.create(name))))
  }
}

/** This dialect has no pool, so it can only compile. */
const dialect = Object.assign(new PostgresDialect({} as PostgresDialectConfig), { createQueryCompiler: () => new Compiler() })
const db = new Kysely<Tables>({ dialect })

const compiled = new Map<QueryDefinition, ReturnType<typeof compileStatement>>()

function statementOf ({ definition }: Query): ReturnType<typeof compileStatement> {
  let found = compiled.get(definition)
  if (found === undefined) compiled.set(definition, found = compileStatement(definition))
  return found
}

export function toQuery (query: Query): PostgresQuery {
  return statementOf(query).toQuery(query)
}

export function toRows (query: Query, result: PostgresResult): unknown {
  return statementOf(query).toRows(result)
}

const types = { getTypeParser: parserOf }

/** Makes a prepared statement. Its name is a hash of its text, so that other versions of the package may share the connection. */
export function statement (text: string): (values: unknown[]) => PostgresQuery {
  const name = `omnichannel_${hash('sha256', text, 'hex').slice(0, 32)}`
  return (values) => ({ name, text, values, rowMode: 'array', types })
}

/** Makes a command that is not prepared, because `beforeCommit` may deallocate all prepared statements. */
export function command (text: string, values: unknown[] = []): PostgresQuery {
  return { ...statement(text)(values), name: '' }
}

export const rollback = command('ROLLBACK')

/** Only PostgreSQL 17 and later have a transaction_timeout. */
export const disableTransactionTimeout = `CASE WHEN current_setting('transaction_timeout', true) IS NOT NULL
  THEN set_config('transaction_timeout', '0', true) END`
/** For transactions that may last minutes. */
export const disableTimeouts = `set_config('statement_timeout', '0', true), set_config('idle_in_transaction_session_timeout', '0', true),
  ${disableTransactionTimeout}`

/** Compiles a query. Returns functions that make the statement to send, and read the rows of its result. */
function compileStatement (definition: QueryDefinition) {
  const { sql, toRow, bind } = compileQuery(db, postgresSql, toParameter as (value: unknown) => unknown, definition)
  const { kind } = definition
  const plain = statement(kind === 'check' ? failIfNull(sql) : sql)
  const counting = kind === 'write' ? statement(failUnlessChanged(sql)) : plain
  return {
    toQuery: ({ values, mustChange }: Query): PostgresQuery =>
      mustChange === undefined ? plain(bind(values)) : counting([...bind(values), String(mustChange)]),
    toRows: ({ rows }: PostgresResult): unknown => {
      switch (kind) {
        case 'many': return rows.map(toRow)
        case 'check': return (rows as [[number]])[0][0]
        case 'one': return rows.length > 0 ? toRow(rows[0]) : undefined
      }
    }
  }
}

// COMMIT is sent together with the writes, so the server itself must detect a wrong write. If it does, it casts a text to a number. The cast
// fails, and COMMIT does not run.

function failIfNull (sql: string): string {
  return `select case when value is null then ('${WRITE_WAS_CHANGED}: ' || coalesce(value::text, 'NULL'))::int else value end from (${sql}) as checked`
}

/** Only for INSERT: in WITH, PostgreSQL refuses an UPDATE or DELETE for which the host has a rule. The last parameter is the expected count. */
function failUnlessChanged (sql: string): string {
  const parameters = sql.split('$').length - 1
  return `with written as (${sql} returning 1) select case when count(*) = $${parameters + 1}::int then 0
    else ('${WRITE_WAS_CHANGED}: ' || count(*) || ' rows')::int end from written`
}
