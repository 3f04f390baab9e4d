import { hash } from 'node:crypto'

/** The rows of a table, added up: the same for the same rows in any order. */
export interface Sum {
  rows: number
  add: (row: unknown[]) => void
  equals: (other: Sum) => boolean
  /** Modulo 2^64. */
  value: () => bigint
}

export function createSum (): Sum {
  let value = 0n
  const sum: Sum = {
    rows: 0,
    add: (row) => {
      sum.rows++
      value = BigInt.asUintN(64, value + BigInt(`0x${hash('md5', JSON.stringify(row), 'hex').slice(0, 16)}`))
    },
    equals: (other) => sum.rows === other.rows && value === other.value(),
    value: () => value
  }
  return sum
}
