// Ajv's own `uniqueItems` remembers texts as the keys of a plain object, where "__proto__" is never found again. This
// one remembers them in a Map, and otherwise says of a list of scalars what Ajv says: the same pair, in the same words.

import type { FuncKeywordDefinition } from 'ajv/dist/2020.js'

interface Check {
  (wanted: boolean, items: unknown[]): boolean
  /** Where Ajv looks for what is wrong. */
  errors?: Array<{ message: string }>
}

const isUnique: Check = (wanted, items) => {
  const pair = wanted ? findDuplicate(items) : undefined
  if (pair === undefined) return true
  const [later, earlier] = pair
  isUnique.errors = [{ message: `must NOT have duplicate items (items ## ${later} and ${earlier} are identical)` }]
  return false
}

/** The last item that comes once more, as Ajv looks for it, and where it does. */
function findDuplicate (items: unknown[]): [later: number, earlier: number] | undefined {
  const seen = new Map<unknown, number>()
  for (let index = items.length - 1; index >= 0; index--) {
    const later = seen.get(items[index])
    if (later !== undefined) return [later, index]
    seen.set(items[index], index)
  }
  return undefined
}

export const uniqueItems: FuncKeywordDefinition = { keyword: 'uniqueItems', type: 'array', schemaType: 'boolean', validate: isUnique }
