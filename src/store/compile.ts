// Kysely builds, the driver executes. A query is compiled once for each store, with a marker in the place of every
// parameter; a request only brings values.

import {
  AliasNode, ColumnNode, ReferenceNode, SelectQueryNode,
  type IdentifierNode, type Kysely, type OperationNode, type RootOperationNode, type SelectionNode
} from 'kysely'
import type { Dialect } from './dialect.js'
import type { Description } from './steps.js'
import type { Tables } from './tables.js'

export interface Compiled {
  readonly kind: Description['kind']
  readonly sql: string
  /** Makes a row of its cells. The columns have our names, whatever the driver calls them: a host may have set its handle so. */
  readonly toRow: (cells: unknown) => Record<string, unknown>
  /** The parameters in their order: those of a call, and the constants of the query. */
  readonly bind: (values: object) => unknown[]
}

class Marker {
  constructor (readonly name: string) {}
}

const markers = new Proxy({}, { get: (_target, name) => new Marker(String(name)) })

/** Compiles a query with the compiler of a store's own `db`. */
export function compile (db: Kysely<Tables>, dialect: Dialect, { kind, describe }: Description): Compiled {
  const { sql, parameters, query } = describe(db, markers as never, dialect).compile()
  const columns = columnsOf(query)
  return {
    kind,
    sql,
    toRow: (cells) => {
      const row: Record<string, unknown> = {}
      for (let index = 0; index < columns.length; index++) row[columns[index] as string] = (cells as unknown[])[index]
      return row
    },
    bind: (values) => parameters.map((parameter) =>
      dialect.toParameter(parameter instanceof Marker ? (values as Record<string, unknown>)[parameter.name] : parameter))
  }
}

function columnsOf (query: RootOperationNode): string[] {
  if (!SelectQueryNode.is(query)) return []
  return (query.selections as readonly SelectionNode[]).map(({ selection }) => nameOf(selection))
}

function nameOf (node: OperationNode): string {
  if (AliasNode.is(node)) return nameOf(node.alias)
  if (ReferenceNode.is(node)) return nameOf(node.column)
  if (ColumnNode.is(node)) return nameOf(node.column)
  return (node as IdentifierNode).name
}
