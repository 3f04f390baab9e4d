// All patterns that one request meets take it at most 100 ms of processor time together, whatever an administrator stored and
// whatever a stranger sends. What is answered is JavaScript's answer: V8 runs at once what provably stays cheap, and the
// rest with a clock that stops it. A pattern that is not answered fits nothing, and its field is reported.

import { RegExpParser } from '@eslint-community/regexpp'
import { createContext, Script } from 'node:vm'
import type { CustomField, Fits } from './custom-fields.js'
import { safeLength } from './pattern-cost.js'
import { withDoors } from './pattern-doors.js'

// Less than what is promised: the last pattern to be tried may have to be compiled.
const BUDGET = 65 // ms
const CAPACITY = 1000
/** Longer ones are not looked at for a proof. */
const MAX_PROVABLE = 500

// Reads all that Node 20 to 24 accept; V8 itself has the last word on what is a pattern.
const parser = new RegExpParser({ ecmaVersion: 2025 })

/** Why a pattern was not answered. */
export type PatternProblem = 'does not compile' | 'is too large or too deeply nested' | 'took too long'

/** Told once for each field that a request could not check. */
export type Report = (field: CustomField, problem: PatternProblem) => void

interface Pattern {
  regexp: RegExp
  /** The length up to which a text is provably cheap; -1 for none. */
  safeLength: number
}

/** The patterns of one registration, each compiled once; returns what checks the fields of one request. */
export function createPatterns (): (report: Report) => Fits {
  const known = new Map<string, Pattern | PatternProblem>()

  function find (source: string): Pattern | PatternProblem {
    const found = known.get(source) ?? compile(source)
    // Patterns are an administrator's, so few; the bound is for one who stores new ones for years.
    if (known.size >= CAPACITY) known.clear()
    known.set(source, found)
    return found
  }

  return (report) => {
    const left = startBudget()
    return (field, text) => {
      const answer = left() > 0 ? tryPattern(field.regexp, text) : 'took too long'
      if (typeof answer === 'boolean') return answer
      report(field, answer)
      return false
    }

    function tryPattern (source: string, text: string): boolean | PatternProblem {
      const pattern = find(source)
      if (typeof pattern === 'string') return pattern
      if (text.length <= pattern.safeLength) return pattern.regexp.test(text)
      // The clock is the wall's. While others have had the processor, there is another try.
      for (let time = left(); time > 0; time = left()) {
        const answer = withinTime(Math.ceil(time), () => pattern.regexp.test(text))
        if (answer !== undefined) return answer
      }
      return 'took too long'
    }
  }
}

/** How much of the budget is left. What this thread has used is no more than what the process has, nor than what the wall's clock says. */
function startBudget (): () => number {
  const wall = performance.now()
  const processor = process.cpuUsage()
  return () => {
    const { user, system } = process.cpuUsage(processor)
    return BUDGET - Math.min(performance.now() - wall, (user + system) / 1000)
  }
}

function compile (source: string): Pattern | PatternProblem {
  try {
    // Only read here; V8 compiles a pattern when it first meets a text.
    RegExp(source)
  } catch {
    return 'does not compile'
  }
  const doors = withDoors(source)
  return doors === undefined ? 'is too large or too deeply nested' : { regexp: RegExp(doors), safeLength: proveSafeLength(source) }
}

function proveSafeLength (source: string): number {
  if (source.length > MAX_PROVABLE) return -1
  try {
    return safeLength(parser.parsePattern(source, 0, source.length, {}))
  } catch {
    // V8 knows more than the parser.
    return -1
  }
}

// Only the clock of node:vm is wanted: the task runs in our own realm, so nothing it handles enters the context.
const context: { task?: () => unknown } = createContext({}, { codeGeneration: { strings: false, wasm: false } })
const script = new Script('task()')

/** What `task` returns; undefined when it takes longer. The clock stops V8 while it matches, though not while it compiles. */
function withinTime<Result> (milliseconds: number, task: () => Result): Result | undefined {
  let result: Result | undefined
  context.task = () => { result = task() }
  try {
    script.runInContext(context, { timeout: milliseconds })
  } catch {
    // Out of time, or out of stack: there is no result.
  }
  delete context.task
  return result
}
