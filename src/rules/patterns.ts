// An administrator's pattern meets a stranger's text, so no pair of them may hold up the process.
// V8 runs what provably stays cheap; RE2 the rest, in linear time; what RE2 lacks goes back to V8 with a clock running.

import { RegExpParser } from '@eslint-community/regexpp'
import { RE2JS } from 're2js'
import { safeLength } from './pattern-cost.js'
import { oneRunePerUnit, toRe2 } from './pattern-re2.js'
import { withinTime } from './time-limit.js'

// V8 cannot be interrupted while it compiles, and for some patterns that time grows faster than their length.
const MAX_SOURCE_UNTIMED = 500
const MAX_SOURCE_TIMED = 4096

// V8 either answers soon or not at all; RE2 is slow now and then, and then worth the wait.
const V8_MS = 50
const RE2_MS = 100

// From 1,000 characters on V8 compiles to machine code, whose compilation is up to twenty times faster than the bytecode's.
const FILLER = '\0'.repeat(1024)

// Reads all that Node 20 to 24 accept; V8 itself has the last word on what is a pattern.
const SYNTAX = { ecmaVersion: 2025 } as const

/** Tells whether the pattern matches anywhere in `text`, like `RegExp.prototype.test`. */
export type Pattern = (text: string) => boolean

type TimedPattern = (text: string) => boolean | undefined

/**
 * Compiles a JavaScript regular expression without flags into a test that always comes back.
 *
 * The answer is that of `new RegExp(source).test(text)`. Where no engine finds it in time (RE2 100 ms, then V8 50 ms),
 * it is `false`; so it is for a source of more than 4,096 characters that only V8 can express.
 *
 * @throws SyntaxError when `source` is not a JavaScript pattern.
 */
export function compilePattern (source: string): Pattern {
  const native = new RegExp(source)
  const ast = withinTime(RE2_MS, () => new RegExpParser(SYNTAX).parsePattern(source, 0, source.length, {}))
  const untimed = ast && source.length <= MAX_SOURCE_UNTIMED ? safeLength(ast) : -1
  const engines: TimedPattern[] = []

  const re2 = ast && withinTime(RE2_MS, () => toRe2(ast))
  // Compiled anew for each text: an engine stopped half-way is not to be trusted, and one kept may hold 8 MB of states.
  if (re2 !== undefined) {
    engines.push((text) => withinTime(RE2_MS, () => RE2JS.compile(re2).test(oneRunePerUnit(text))))
  }
  if (source.length <= MAX_SOURCE_TIMED) engines.push(timedV8(source))

  return (text) => text.length <= untimed ? native.test(text) : firstAnswer(engines, text)
}

function firstAnswer (engines: TimedPattern[], text: string): boolean {
  for (const engine of engines) {
    const answer = engine(text)
    if (answer !== undefined) return answer
  }
  return false
}

// The g flag changes nothing but where the search starts: first at the end of the filler, so that compiling, which may
// itself take long, is over before the clock for the text starts.
function timedV8 (source: string): TimedPattern {
  const native = new RegExp(source, 'g')
  const testFrom = (start: number, text: string): boolean | undefined => withinTime(V8_MS, () => {
    native.lastIndex = start
    return native.test(text)
  })
  return (text) => {
    testFrom(FILLER.length, FILLER)
    return testFrom(0, text)
  }
}
