import type { AST } from '@eslint-community/regexpp'

// About 2 ms of V8's slowest, bytecode, engine.
const MAX_STEPS = 100_000

const MAX_LENGTH = 256 * 1024

// How a backtracking engine gets through a node: in how many ways at most, each of which has the rest of the pattern
// tried again, and with how many steps when all of them fail.
interface Cost {
  ways: number
  steps: number
}

const ONE: Cost = { ways: 1, steps: 1 }

/**
 * The length up to which no text makes a backtracking engine take more than some ten milliseconds over the pattern, at
 * most 256 Ki; -1 when not even the empty text is safe.
 *
 * It is an upper bound of the work, not an estimate: nested quantifiers multiply whether or not they overlap.
 */
export function safeLength (pattern: AST.Pattern): number {
  let safe = -1
  let unsafe = MAX_LENGTH + 1
  while (unsafe - safe > 1) {
    const length = (safe + unsafe) >> 1
    // Phrased so that NaN, from infinite ways, is not safe.
    if (totalSteps(pattern, length) <= MAX_STEPS) safe = length
    else unsafe = length
  }
  return safe
}

function totalSteps ({ alternatives }: AST.Pattern, length: number): number {
  const { steps } = alternativesCost(alternatives, length, false)
  const anchored = alternatives.every(({ elements: [first] }) => first?.type === 'Assertion' && first.kind === 'start')
  return anchored ? steps + length * alternatives.length : steps * (length + 1)
}

function alternativesCost (alternatives: AST.Alternative[], length: number, backward: boolean): Cost {
  let ways = 0
  let steps = 0
  for (const { elements } of alternatives) {
    const cost = sequenceCost(backward ? elements.toReversed() : elements, length, backward)
    ways += cost.ways
    steps += cost.steps + 1
  }
  return { ways, steps }
}

function sequenceCost (elements: AST.Element[], length: number, backward: boolean): Cost {
  let ways = 1
  let steps = 0
  for (const element of elements) {
    const cost = elementCost(element, length, backward)
    steps += ways * cost.steps
    ways *= cost.ways
  }
  return { ways, steps }
}

function elementCost (element: AST.Element, length: number, backward: boolean): Cost {
  switch (element.type) {
    case 'Group':
    case 'CapturingGroup':
      return alternativesCost(element.alternatives, length, backward)
    case 'Quantifier':
      return quantifierCost(element, length, backward)
    case 'Backreference':
      return { ways: 1, steps: length + 1 }
    case 'Assertion':
      if (element.kind !== 'lookahead' && element.kind !== 'lookbehind') return ONE
      return { ways: 1, steps: alternativesCost(element.alternatives, length, element.kind === 'lookbehind').steps }
    default:
      return ONE
  }
}

function quantifierCost ({ element, min, max }: AST.Quantifier, length: number, backward: boolean): Cost {
  const { ways, steps } = elementCost(element, length, backward)
  // Only the required rounds may be empty; every other one eats a character.
  const rounds = Math.min(max, min + length)
  const entries = ways === 1 ? rounds + 1 : (ways ** (rounds + 1) - 1) / (ways - 1)
  return { ways: ways === 1 ? rounds - min + 1 : entries, steps: entries * (steps + 1) }
}
