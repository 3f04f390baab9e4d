// All patterns that one request meets take it at most 100 ms of processor time together, compiling included, whatever an
// administrator stored and whatever a stranger sends. What is answered is JavaScript's answer: V8 runs at once what
// provably stays cheap, and the rest with a clock. A pattern that is not answered fits nothing, and its field is reported.

import { createContext, Script } from 'node:vm'
import type { CustomField, Fits } from '../custom-fields.js'
import { safeLength } from './cost.js'
import { withDoors } from './interrupt-points.js'
import { partsOf } from './parts.js'

// Less than what is promised: the clock may strike some milliseconds late.
const BUDGET = 75 // ms
/** What runs without a look at the processor's clock: patterns of which each provably takes some ten milliseconds at most. */
const UNWATCHED = 15 // ms
/**
 * How many units of work V8 compiles in a millisecond, at worst. No clock stops it then, and it compiles anew for a pattern
 * that is used again, and for other characters: nothing is tried without the time for that.
 */
const WORK_PER_MS = 500

/** A longer pattern is not even read. */
const MAX_LENGTH = 10_000
/** How much of the work of compiling is kept: a unit of it takes some 30 bytes, and the smallest pattern some thousands. */
const CAPACITY = 1_000_000
const SMALLEST = 200

/** Why a pattern was not answered; V8's reason names the pattern. */
export type PatternProblem = `does not compile: ${string}` | 'is too large' | 'took too long'

/** Told once for each field that a request could not check. */
export type Report = (field: CustomField, problem: PatternProblem) => void

interface Pattern {
  test: (text: string, budget: Budget) => boolean | PatternProblem
  work: number
}

/** The patterns of one registration, each read once; returns what checks the fields of one request. */
export function createPatterns (): (report: Report) => Fits {
  const known = new Map<string, Pattern>()
  let work = 0

  function find (source: string, { watch }: Budget): Pattern {
    const found = known.get(source)
    if (found !== undefined) return found
    watch()
    const pattern = read(source)
    known.set(source, pattern)
    work += pattern.work
    // Patterns are an administrator's, so few; the bound is for one who stores new ones for years.
    for (const [oldest, { work: freed }] of known) {
      if (work <= CAPACITY) break
      known.delete(oldest)
      work -= freed
    }
    return pattern
  }

  return (report) => {
    let budget: Budget | undefined
    return (field, text) => {
      budget ??= startBudget()
      const answer = field.regexp.length > MAX_LENGTH ? 'is too large'
        : budget.left() < field.regexp.length / WORK_PER_MS ? 'took too long' : find(field.regexp, budget).test(text, budget)
      if (typeof answer === 'boolean') return answer
      report(field, answer)
      return false
    }
  }
}

interface Budget {
  /** How many milliseconds are left. */
  left: () => number
  /** Called before something that may take long. */
  watch: () => void
}

/**
 * What this thread has used is no more than what the process has, nor than what the wall's clock says. To ask for the
 * processor's time takes longer than most patterns, so that clock runs only once something may take long.
 */
function startBudget (): Budget {
  const start = performance.now()
  let watched: { from: number, processor: NodeJS.CpuUsage } | undefined
  const watch = (): void => {
    // Before, others may have had the processor for any time; all that ran here has been proved to be short.
    watched ??= { from: Math.min(performance.now() - start, UNWATCHED), processor: process.cpuUsage() }
  }
  return {
    watch,
    left: () => {
      const elapsed = performance.now() - start
      if (elapsed < UNWATCHED) return BUDGET - elapsed
      watch()
      const { from, processor } = watched as NonNullable<typeof watched>
      const { user, system } = process.cpuUsage(processor)
      return BUDGET - Math.min(elapsed, from + (user + system) / 1000)
    }
  }
}

function read (source: string): Pattern {
  const cannot = (problem: PatternProblem): Pattern => ({ test: () => problem, work: SMALLEST + source.length })
  try {
    // Only parsed here; V8 compiles a pattern when it first meets a text.
    RegExp(source)
    const parts = partsOf(source)
    const doored = withDoors(parts)
    if (doored === undefined) return cannot('is too large')
    const regexp = RegExp(doored.source)
    const safe = safeLength(parts)
    const reserve = doored.work / WORK_PER_MS
    return {
      test: (text, budget) => {
        if (text.length > safe || reserve >= 1) budget.watch()
        return text.length <= safe && budget.left() > reserve ? regexp.test(text) : testWithClock(regexp, text, budget.left, reserve)
      },
      work: SMALLEST + source.length + doored.work
    }
  } catch (error) {
    return cannot(`does not compile: ${(error as Error).message}`)
  }
}

// Only the clock of node:vm is wanted: the task runs in our own realm, so nothing it handles enters the context.
let task: () => boolean
const context = createContext({ run: () => task() }, { codeGeneration: { strings: false, wasm: false } })
const script = new Script('run()')

function testWithClock (regexp: RegExp, text: string, left: () => number, reserve: number): boolean | PatternProblem {
  task = () => regexp.test(text)
  for (let time = left(); time > reserve; time = left()) {
    try {
      return script.runInContext(context, { timeout: Math.ceil(time) }) as boolean
    } catch (error) {
      // The clock is the wall's: while others have had the processor, there is another try. Any other error says that
      // there are more ways to remember than V8 has room for.
      if ((error as { code?: unknown }).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') break
    }
  }
  return 'took too long'
}
