import type { Part } from './parts.js'

// About 10 ms of V8's slowest, bytecode, engine.
const MAX_STEPS = 200_000
const MAX_LENGTH = 256 * 1024
/** A longer pattern is not worth the proof. */
const MAX_PARTS = 250
/** A reference to a group may take as long as the text, and a lookbehind is read from its end. */
const UNPROVABLE = /^(?:\\[1-9k]|\(\?<[=!])/

// How a backtracking engine gets through a part: in how many ways at most, each of which has the rest of the pattern
// tried again, and with how many steps when all of them fail.
interface Cost {
  ways: number
  steps: number
}

const NEVER: Cost = { ways: 0, steps: 0 }
const EMPTY: Cost = { ways: 1, steps: 0 }
const CHARACTER: Cost = { ways: 1, steps: 1 }

/**
 * The length up to which no text makes a backtracking engine take more than some ten milliseconds over the pattern, at
 * most 256 Ki; -1 when not even the empty text is safe.
 *
 * It is an upper bound of the work, not an estimate: nested quantifiers multiply whether or not they overlap.
 */
export function safeLength (parts: Part[]): number {
  let safe = -1
  let unsafe = parts.length > MAX_PARTS || parts.some(({ text }) => UNPROVABLE.test(text)) ? 0 : MAX_LENGTH + 1
  while (unsafe - safe > 1) {
    const length = (safe + unsafe) >> 1
    // Phrased so that NaN, from infinite ways, is not safe.
    if (totalSteps(parts, length) <= MAX_STEPS) safe = length
    else unsafe = length
  }
  return safe
}

function totalSteps (parts: Part[], length: number): number {
  const outer: Array<{ others: Cost, sequence: Cost, opening: string }> = []
  let others = NEVER // the alternatives before this one
  let sequence = EMPTY
  for (const { text, quantifier } of parts) {
    let cost = CHARACTER
    if (text === '|') {
      others = choose(others, sequence)
      sequence = EMPTY
      continue
    } else if (text.startsWith('(')) {
      outer.push({ others, sequence, opening: text })
      others = NEVER
      sequence = EMPTY
      continue
    } else if (text === ')') {
      const group = choose(others, sequence)
      const { opening, ...around } = outer.pop() as typeof outer[number]
      ;({ others, sequence } = around)
      cost = opening === '(?=' || opening === '(?!' ? { ...group, ways: 1 } : group
    }
    sequence = follow(sequence, quantifier === '' ? cost : repeat(cost, quantifier, length))
  }
  const { steps } = choose(others, sequence)
  const isAnchored = parts[0]?.text === '^' && others === NEVER
  return isAnchored ? steps + length : steps * (length + 1)
}

function follow (first: Cost, then: Cost): Cost {
  return { ways: first.ways * then.ways, steps: first.steps + first.ways * then.steps }
}

function choose (one: Cost, other: Cost): Cost {
  return { ways: one.ways + other.ways, steps: one.steps + other.steps + 1 }
}

function repeat ({ ways, steps }: Cost, quantifier: string, length: number): Cost {
  const [min, max] = countsOf(quantifier)
  // Only the required rounds may be empty; every other one eats a character.
  const rounds = Math.min(max, min + length)
  const entries = ways === 1 ? rounds + 1 : (ways ** (rounds + 1) - 1) / (ways - 1)
  return { ways: ways === 1 ? rounds - min + 1 : entries, steps: entries * (steps + 1) }
}

function countsOf (quantifier: string): [min: number, max: number] {
  const [, min, comma, max] = /^\{(\d+)(,?)(\d*)/.exec(quantifier) ?? []
  if (min === undefined) return [quantifier.startsWith('+') ? 1 : 0, quantifier.startsWith('?') ? 1 : Infinity]
  return [Number(min), comma === '' ? Number(min) : max === '' ? Infinity : Number(max)]
}
