// Advice about values that are often passed as `database` by mistake.

import { isPromise } from 'node:util/types'
import { isNativePool } from './store/postgres/handle.js'

const passItsHandle = 'pass the handle or pool that it was made with'
const openAnother = 'open a better-sqlite3 database or a pg Pool for the plugin'
const openFile = 'open the file with better-sqlite3'
const passPool = 'pass a Pool of the package pg'

/** Each library is recognised by a member that the others lack. */
const libraries: Array<[member: string, name: string, instead: string]> = [
  ['selectFrom', 'a Kysely instance', passItsHandle],
  ['$client', 'a Drizzle database', passItsHandle],
  ['queryBuilder', 'a Knex instance', openAnother],
  ['createQueryRunner', 'a TypeORM data source', openAnother],
  ['getQueryInterface', 'a Sequelize instance', openAnother],
  ['$queryRaw', 'a Prisma client', openAnother],
  ['unsafe', 'a client of postgres.js', passPool],
  ['execProtocolRaw', 'a PGlite database', `${passPool}, or a better-sqlite3 database`],
  ['executeMultiple', 'a client of @libsql/client', openFile]
]

/** Returns the end of the sentence that refuses a value. It is empty if the value is not recognised. */
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
  if (typeof value === 'string') return ['a string', `${openFile}, or ${passPool}`]
  if (isPromise(value)) {
    // It may reject later, which must not end the process.
    value.catch(() => undefined)
    return ['a promise', 'await it first']
  }
  const members = Object(value) as Record<string, unknown>
  const library = libraries.find(([member]) => members[member] !== undefined)
  if (library !== undefined) return [library[1], library[2]]
  if (isDatabaseSync(members) && members.isOpen !== false) {
    return [`a DatabaseSync of Node.js ${process.versions.node}, which reads a text only up to U+0000`, `use Node.js 24.16, 26.1 or later, or ${openFile}`]
  }
  if (typeof value === 'function') return ['a function or a class', 'pass an open database or a Pool']
  if (members.open === false || members.isOpen === false) return ['a database that is not open', openFile]
  if (members.prepare !== undefined) return ["another library's database", openFile]
  if (members.ending === true) return ['a Pool that has ended', passPool]
  if (isNativePool(members)) return ['a Pool of pg-native', 'pass a Pool of the package pg without pg-native']
  if (members.connect !== undefined && members.query !== undefined) return ['a single client', 'pass the Pool of the package pg']
  return ['', '']
}

/** Before Node.js 22.16 it has neither the symbol nor `isOpen`. */
function isDatabaseSync (members: Record<string | symbol, unknown>): boolean {
  if (members[Symbol.for('sqlite-type')] === 'node:sqlite') return true
  return members.isOpen === undefined && (members.constructor as { name?: unknown } | undefined)?.name === 'DatabaseSync'
}
