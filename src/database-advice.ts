// What to pass instead of what is often taken for the database.

import { isPromise } from 'node:util/types'

const made = 'pass the handle or pool that it was made with'
const beside = 'open a better-sqlite3 database or a pg Pool beside it'
const file = 'open the file with better-sqlite3'
const pool = 'pass a Pool of the package pg'

/** Known by a member that the others lack. */
const libraries: Array<[member: string, name: string, instead: string]> = [
  ['selectFrom', 'a Kysely instance', made],
  ['$client', 'a Drizzle database', made],
  ['queryBuilder', 'a Knex instance', beside],
  ['createQueryRunner', 'a TypeORM data source', beside],
  ['getQueryInterface', 'a Sequelize instance', beside],
  ['$queryRaw', 'a Prisma client', beside],
  ['unsafe', 'a client of postgres.js', pool],
  ['execProtocolRaw', 'a PGlite database', `${pool}, or a better-sqlite3 database`],
  ['executeMultiple', 'a client of @libsql/client', file]
]

/** The end of the sentence that refuses a value; empty where the value tells nothing. */
export function adviseOn (value: unknown): string {
  try {
    const [name, instead] = recognize(value)
    return name === '' ? '' : `; this is ${name}: ${instead}`
  } catch {
    // A getter or a Proxy threw.
    return ''
  }
}

function recognize (value: unknown): [name: string, instead: string] {
  if (typeof value === 'string') return ['a text', `${file}, or ${pool}`]
  if (isPromise(value)) {
    // It may reject later, which must not end the process.
    value.catch(() => undefined)
    return ['a promise', 'await it first']
  }
  const members = Object(value) as Record<string, unknown>
  const library = libraries.find(([member]) => members[member] !== undefined)
  if (library !== undefined) return [library[1], library[2]]
  if (isDatabaseSync(members) && members.isOpen !== false) {
    return [`a DatabaseSync of Node.js ${process.versions.node}, which reads a text only up to U+0000`, `use Node.js 24.16, 26.1 or later, or ${file}`]
  }
  if (typeof value === 'function') return ['a function or a class', 'pass an open database or a Pool']
  if (members.open === false || members.isOpen === false) return ['a database that is not open', file]
  if (members.prepare !== undefined) return ["another library's database", file]
  if (members.ending === true) return ['a Pool that has ended', pool]
  if (members.connect !== undefined && members.query !== undefined) return ['a single client', 'pass the Pool of the package pg']
  return ['', '']
}

/** Before 22.16 it has neither the symbol nor \`isOpen\`. */
function isDatabaseSync (members: Record<string | symbol, unknown>): boolean {
  if (members[Symbol.for('sqlite-type')] === 'node:sqlite') return true
  return members.isOpen === undefined && (members.constructor as { name?: unknown } | undefined)?.name === 'DatabaseSync'
}
