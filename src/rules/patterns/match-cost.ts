// Proves up to which length a text can be matched without a timeout.
// When a match fails, V8 goes back and tries each other way in which a part can match. Each way tries the rest of the pattern again.
// For each part, `Cost` has an upper bound of its ways, and of the steps until all ways have failed.
// The bound is coarse: it multiplies nested quantifiers even if they can never match the same text.

import type { Token } from './tokens.js'

/** V8 takes about 10 ms for so many steps if it interprets the pattern. Compiled patterns are faster. */
const MAX_STEPS = 200_000
const MAX_TEXT_LENGTH = 256 * 1024
/** With more tokens, the proof itself takes too long. */
const MAX_TOKENS = 250
/** A backreference may take as many steps as the text has characters, and a lookbehind is matched from its end. */
const UNPROVABLE = /^(?:\\[1-9k]|\(\?<[=!])/

interface Cost {
  ways: number
  steps: number
}

const NO_ALTERNATIVE: Cost = { ways: 0, steps: 0 }
const EMPTY: Cost = { ways: 1, steps: 0 }
const CHARACTER: Cost = { ways: 1, steps: 1 }

/** The length of the longest text that needs no timeout, or -1 if even the empty text needs one. */
export function safeTextLength (tokens: Token[]): number {
  if (tokens.length > MAX_TOKENS || tokens.some(({ text }) => UNPROVABLE.test(text))) return -1
  let safe = -1
  let unsafe = MAX_TEXT_LENGTH + 1
  while (unsafe - safe > 1) {
    const length = (safe + unsafe) >> 1
    // Infinite ways make NaN of the steps, which is not safe either.
    if (stepsOf(tokens, length) <= MAX_STEPS) safe = length
    else unsafe = length
  }
  return safe
}

function stepsOf (tokens: Token[], length: number): number {
  const outerGroups: Array<{ alternatives: Cost, sequence: Cost, opening: string }> = []
  let alternatives = NO_ALTERNATIVE // before the current one
  let sequence = EMPTY
  for (const { text, quantifier } of tokens) {
    let cost = CHARACTER
    if (text === '|') {
      alternatives = choose(alternatives, sequence)
      sequence = EMPTY
      continue
    } else if (text.startsWith('(')) {
      outerGroups.push({ alternatives, sequence, opening: text })
      alternatives = NO_ALTERNATIVE
      sequence = EMPTY
      continue
    } else if (text === ')') {
      const group = choose(alternatives, sequence)
      const outer = outerGroups.pop() as typeof outerGroups[number]
      alternatives = outer.alternatives
      sequence = outer.sequence
      // V8 does not go back into a lookahead.
      cost = outer.opening === '(?=' || outer.opening === '(?!' ? { ...group, ways: 1 } : group
    }
    sequence = follow(sequence, quantifier === '' ? cost : repeat(cost, quantifier, length))
  }
  const { steps } = choose(alternatives, sequence)
  const isAnchored = tokens[0]?.text === '^' && alternatives === NO_ALTERNATIVE
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
  // Only the required rounds may match the empty text. Each other round matches a character.
  const rounds = Math.min(max, min + length)
  // How often a round begins: the sum of `ways ** 0` to `ways ** rounds`.
  const entries = ways === 1 ? rounds + 1 : (ways ** (rounds + 1) - 1) / (ways - 1)
  return { ways: ways === 1 ? rounds - min + 1 : entries, steps: entries * (steps + 1) }
}

function countsOf (quantifier: string): [min: number, max: number] {
  const [, min, comma, max] = /^\{(\d+)(,?)(\d*)/.exec(quantifier) ?? []
  if (min === undefined) return [quantifier.startsWith('+') ? 1 : 0, quantifier.startsWith('?') ? 1 : Infinity]
  if (comma === '') return [Number(min), Number(min)]
  return [Number(min), max === '' ? Infinity : Number(max)]
}
