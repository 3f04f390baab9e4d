// Compiles a query to SQL with Kysely. Each engine does this once per query, with a marker in place of each value. Later the markers are
// replaced by the values of a request.

import {
  AliasNode, ColumnNode, ReferenceNode, SelectQueryNode,
  type IdentifierNode, type Kysely, type OperationNode, type SelectionNode
} from 'kysely'
import type { EngineSql } from './engine-sql.js'
import type { QueryDefinition } from './operation.js'
import type { Tables } from './tables.js'

class Marker {
  constructor (readonly name: string) {}
}

const markers = new Proxy({}, { get: (_target, name) => new Marker(String(name)) })

/** @param toParameter converts a value for the driver */
export function compileQuery (
  db: Kysely<Tables>, engineSql: EngineSql, toParameter: (value: unknown) => unknown, { define }: QueryDefinition
) {
  const { sql, parameters, query } = define(db, markers as never, engineSql).compile()
  const columns = SelectQueryNode.is(query) ? (query.selections as readonly SelectionNode[]).map(({ selection }) => nameOf(selection)) : []
  return {
    sql,
    /** Makes an object from the cells of a row. Its keys come from the query, because the host's handle may return other names. */
    toRow: (cells: unknown): Record<string, unknown> => {
      const row: Record<string, unknown> = {}
      for (let index = 0; index < columns.length; index++) row[columns[index] as string] = (cells as unknown[])[index]
      return row
    },
    /** The parameters in their order: the values of the call, and the constants of the query. */
    bind: (values: object): unknown[] => parameters.map((parameter) =>
      toParameter(parameter instanceof Marker ? (values as Record<string, unknown>)[parameter.name] : parameter))
  }
}

function nameOf (node: OperationNode): string {
  if (AliasNode.is(node)) return nameOf(node.alias)
  if (ReferenceNode.is(node) || ColumnNode.is(node)) return nameOf(node.column)
  return (node as IdentifierNode).name
}
