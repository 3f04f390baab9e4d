// Writes src/store/sqlite/schema-sql.ts from schema.sql.
import { readFileSync, writeFileSync } from 'node:fs'

const sql = readFileSync(new URL('../schema.sql', import.meta.url), 'utf8')
writeFileSync(new URL('../src/store/sqlite/schema-sql.ts', import.meta.url), `// schema.sql, embedded: a single-file build has no file to read next to its code. A test compares the two;
// npm run embed-schema writes this file anew.

/** The text of \`schema.sql\`. */
export const schemaSql = \`${sql.replace(/[\\`$]/g, '\\$&')}\`
`)
