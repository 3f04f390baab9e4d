// Whether this Node.js has a node:sqlite that the plugin accepts. Before 24.16 it reads a text only up to U+0000.

export function hasNodeSqlite() {
  const { DatabaseSync } = process.getBuiltinModule('node:sqlite') ?? {}
  return DatabaseSync !== undefined && new DatabaseSync(':memory:').prepare('SELECT char(65, 0, 65) AS text').get().text.length === 3
}
