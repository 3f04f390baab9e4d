// Rewrites a pattern so that V8 compiles it quickly and can be interrupted while it matches. The answers stay the same.
// When V8 compiles a part of a pattern, it looks ahead into all parts that may follow. Some patterns of a few hundred characters take
// seconds or hours that way. A loop that never matches ends the look-ahead, and V8 checks for an interrupt in each loop.
// With such a loop before each group and each repeated part, the time to compile grows only with the number of parts.

import type { Token } from './tokens.js'

const INTERRUPT_POINT = '(?:(?!)|[])*'
const CAPTURE = /^\((?:$|\?<[^=!])/
const CLASS = /^(?:\.|\[|\\[dswDSW])/
const IGNORE_CASE = /^\(\?[a-z]*i/

// The cost to compile a token, in units of 1 to 2 µs. Measured with Node.js 20 to 26.
const MAX_COST = 20_000 // 40 ms at most
const INTERRUPT_POINT_COST = 20
const CAPTURE_COST = 150
const CLASS_COST = 10
/** V8 compiles the content of a repeated group up to six times. */
const MAX_COPIES = 6

/** Returns undefined if V8 would take too long to compile the pattern. */
export function makeInterruptible (tokens: Token[]): { source: string, compileCost: number } | undefined {
  const isReference = referencesIn(tokens)
  const keepsCaptures = tokens.some(({ text }) => isReference(text))
  const classCost = tokens.some(({ text }) => IGNORE_CASE.test(text)) ? 3 * CLASS_COST : CLASS_COST
  const groups: Array<{ isRepeated: boolean, copies: number }> = []
  let source = ''
  let compileCost = 0
  let copies = 1
  const prepend = (text: string, cost = 1): void => {
    source = text + source
    compileCost += copies * cost
  }

  // From the end, because the quantifier of a group follows it.
  for (const { text, quantifier } of tokens.toReversed()) {
    const isRepeated = quantifier !== ''
    if (isRepeated) prepend(quantifier)
    if (text === ')') {
      prepend(text)
      groups.push({ isRepeated, copies })
      if (/^[+{]/.test(quantifier)) copies = MAX_COPIES
    } else if (text.startsWith('(')) {
      const group = groups.pop() as typeof groups[number]
      if (group.isRepeated) prepend(INTERRUPT_POINT, INTERRUPT_POINT_COST)
      copies = group.copies
      if (!CAPTURE.test(text)) prepend(text)
      else if (keepsCaptures) prepend(text, CAPTURE_COST)
      else prepend('(?:')
      prepend(INTERRUPT_POINT, INTERRUPT_POINT_COST)
    } else if (isRepeated && isReference(text)) {
      prepend(`(?:${INTERRUPT_POINT}${text})`, INTERRUPT_POINT_COST)
      prepend(INTERRUPT_POINT, INTERRUPT_POINT_COST)
    } else {
      // V8 sorts the ranges of a class in quadratic time.
      prepend(text, CLASS.test(text) ? classCost + (text.length / 50) ** 2 : 1)
      if (isRepeated || text === '\\b' || text === '\\B') prepend(INTERRUPT_POINT, INTERRUPT_POINT_COST)
    }
  }
  return compileCost <= MAX_COST ? { source, compileCost } : undefined
}

/** Returns a test for backreferences. Without a second group `\2` is an octal escape, and without a named group `\k` is the letter k. */
function referencesIn (tokens: Token[]): (text: string) => boolean {
  const captures = tokens.filter(({ text }) => CAPTURE.test(text))
  const hasNames = captures.some(({ text }) => text !== '(')
  return (text) => text.startsWith('\\k') ? hasNames : /^\\[1-9]/.test(text) && Number(text.slice(1)) <= captures.length
}
