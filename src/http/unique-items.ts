// Ajv's `uniqueItems` keeps strings as keys of a plain object, so that "__proto__" is never a duplicate. Ours uses a Map.
// For lists of scalars it reports the same pair as Ajv, in the same words.

import type { FuncKeywordDefinition } from 'ajv/dist/2020.js'

interface Check {
  (isEnabled: boolean, items: unknown[]): boolean
  /** Ajv reads the errors of a failed check here. */
  errors?: Array<{ message: string }>
}

const isUnique: Check = (isEnabled, items) => {
  if (!isEnabled) return true
  const indexes = new Map<unknown, number>()
  // From the end, as Ajv does.
  for (let index = items.length - 1; index >= 0; index--) {
    const laterIndex = indexes.get(items[index])
    if (laterIndex !== undefined) {
      isUnique.errors = [{ message: `must NOT have duplicate items (items ## ${laterIndex} and ${index} are identical)` }]
      return false
    }
    indexes.set(items[index], index)
  }
  return true
}

export const uniqueItems: FuncKeywordDefinition = { keyword: 'uniqueItems', type: 'array', schemaType: 'boolean', validate: isUnique }
