// Queries as PostgreSQL is sent them. Names are not qualified: the host's search_path says where its tables are.

import { hash } from 'node:crypto'
import {
  AliasNode, ColumnNode, IdentifierNode, Kysely, PostgresDialect, PostgresQueryCompiler, RawNode, ReferenceNode, SelectionNode,
  type PostgresDialectConfig
} from 'kysely'
import { compile } from '../compile.js'
import type { Description, Query } from '../steps.js'
import type { Tables } from '../tables.js'
import { parserOf } from './codec.js'
import { postgresDialect } from './dialect.js'
import type { PostgresQuery, PostgresResult } from './handle.js'

/** Reads times as our texts, whatever TimeZone and DateStyle the host's session has. */
class Compiler extends PostgresQueryCompiler {
  protected override visitSelection (node: SelectionNode): void {
    const { selection } = node
    const name = ReferenceNode.is(selection) && ColumnNode.is(selection.column) ? selection.column.column.name : ''
    if (!name.endsWith('_at')) return super.visitSelection(node)
    const text = RawNode.create(['to_char(', ` at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`], [selection])
    super.visitSelection(SelectionNode.create(AliasNode.create(text, IdentifierNode.create(name))))
  }
}

class Dialect extends PostgresDialect {
  override createQueryCompiler (): Compiler {
    return new Compiler()
  }
}

/** It has no pool, so it can only compile. */
const db = new Kysely<Tables>({ dialect: new Dialect({} as PostgresDialectConfig) })

/** A query made ready: what is sent for it, and what its answer is. */
interface Prepared {
  toQuery: (values: object) => PostgresQuery
  toAnswer: (result: PostgresResult) => unknown
}

const prepared = new Map<Description, Prepared>()

function prepare ({ description }: Query): Prepared {
  let ready = prepared.get(description)
  if (ready === undefined) prepared.set(description, ready = make(description))
  return ready
}

export function toQuery (query: Query): PostgresQuery {
  return prepare(query).toQuery(query.values)
}

/** What the results of queries, in their order, answer. */
export function toAnswers (queries: readonly Query[], results: readonly PostgresResult[]): unknown[] {
  return results.map((result, index) => prepare(queries[index] as Query).toAnswer(result))
}

const types = { getTypeParser: parserOf }

/** A statement under a name of its own text, so that other versions of the package may share the connection. */
export function statement (text: string): (values: unknown[]) => PostgresQuery {
  const name = `omnichannel_${hash('sha256', text, 'hex').slice(0, 32)}`
  return (values) => ({ name, text, values, rowMode: 'array', types })
}

function make (description: Description): Prepared {
  const { kind, sql, toRow, bind } = compile(db, postgresDialect, description)
  const query = statement(sql)
  return {
    toQuery: (values) => query(bind(values)),
    toAnswer: ({ rows }) => kind === 'many' ? rows.map(toRow) : kind === 'one' && rows.length > 0 ? toRow(rows[0]) : undefined
  }
}
