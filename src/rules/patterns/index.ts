// Matches the values of custom fields against the patterns that administrators store, as JavaScript does.
// No pattern can hang the server:
// 1. All patterns of a request share less than 100 ms of processor time. If it ends before a value is checked, the value is invalid, and
//    the log says why.
// 2. V8 cannot be interrupted while it compiles. Therefore interrupt-points.ts rewrites a pattern so that it compiles quickly, or
//    refuses it as too large.
// 3. V8 can be interrupted while it matches, by the timeout of node:vm. It costs 80 µs, which is more than the rest of an update.
// 4. Therefore a text is matched without a timeout if match-cost.ts proves that this takes about 10 ms at most.
// 5. Before V8 may compile or match, the time that is left is checked.

import { createContext, Script } from 'node:vm'
import type { CustomField, MatchPattern } from '../custom-fields.js'
import { createBudget, type Budget } from './budget.js'
import { makeInterruptible } from './interrupt-points.js'
import { safeTextLength } from './match-cost.js'
import { tokenize } from './tokens.js'

const MAX_PATTERN_LENGTH = 10_000
/** V8 compiles at least this many units of cost in a millisecond. */
const COMPILE_COST_PER_MS = 500
/** A unit of cost takes about 30 bytes, so the patterns that are kept take about 30 MB. */
const MAX_CACHED_COST = 1_000_000
/** The cost of the smallest pattern. */
const BASE_COST = 200

/** Why a value could not be checked. After `does not compile` comes V8's message, which quotes the pattern. */
export type PatternProblem = `does not compile: ${string}` | 'is too large' | 'took too long'

export type ReportProblem = (field: CustomField, problem: PatternProblem) => void

interface Pattern {
  match: (text: string, budget: Budget) => boolean | PatternProblem
  cost: number
}

/**
 * Keeps compiled patterns for all requests. `createMatcher` makes a matcher for the values of one request, which have a time budget of
 * their own. The matcher calls `report` for each field that could not be checked.
 */
export function createPatternCache (): { createMatcher: (report: ReportProblem, reservedMs?: number) => MatchPattern } {
  const cache = new Map<string, Pattern>()
  let cachedCost = 0

  function findPattern (source: string, budget: Budget): Pattern {
    const cached = cache.get(source)
    if (cached !== undefined) return cached
    budget.startCpuClock()
    const pattern = readPattern(source)
    cachedCost += pattern.cost
    if (cachedCost > MAX_CACHED_COST) {
      cache.clear()
      cachedCost = pattern.cost
    }
    cache.set(source, pattern)
    return pattern
  }

  function match (source: string, text: string, budget: Budget): boolean | PatternProblem {
    if (source.length > MAX_PATTERN_LENGTH) return 'is too large'
    if (budget.left() < source.length / COMPILE_COST_PER_MS) return 'took too long'
    return findPattern(source, budget).match(text, budget)
  }

  return {
    createMatcher: (report, reservedMs = 0) => {
      let budget: Budget | undefined
      return (field, text) => {
        budget ??= createBudget(reservedMs)
        const answer = match(field.regexp, text, budget)
        if (typeof answer === 'boolean') return answer
        report(field, answer)
        return false
      }
    }
  }
}

function readPattern (source: string): Pattern {
  const unusable = (problem: PatternProblem): Pattern => ({ match: () => problem, cost: BASE_COST + source.length })
  try {
    // This only parses. V8 compiles a pattern when it first matches a text.
    RegExp(source)
    const tokens = tokenize(source)
    const interruptible = makeInterruptible(tokens)
    if (interruptible === undefined) return unusable('is too large')
    const regexp = RegExp(interruptible.source)
    const safeLength = safeTextLength(tokens)
    // V8 compiles again when a pattern is used often, or meets characters of another width. So each match needs this time.
    const compileMs = interruptible.compileCost / COMPILE_COST_PER_MS
    return {
      match: (text, budget) => {
        const isShort = text.length <= safeLength
        if (!isShort || compileMs >= 1) budget.startCpuClock()
        return isShort && budget.left() > compileMs ? regexp.test(text) : matchWithTimeout(regexp, text, budget, compileMs)
      },
      cost: BASE_COST + source.length + interruptible.compileCost
    }
  } catch (error) {
    return unusable(`does not compile: ${(error as Error).message}`)
  }
}

// Only the timeout of node:vm is used. Its script calls `task`, and no value enters its context.
let task: () => boolean
const context = createContext({ run: () => task() })
const script = new Script('run()')

function matchWithTimeout (regexp: RegExp, text: string, budget: Budget, compileMs: number): boolean | PatternProblem {
  task = () => regexp.test(text)
  for (let timeout = budget.left(); timeout > compileMs; timeout = budget.left()) {
    try {
      return script.runInContext(context, { timeout: Math.ceil(timeout) }) as boolean
    } catch (error) {
      // Any other error means that V8 has no memory left for backtracking.
      if ((error as { code?: unknown }).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') break
      // The timeout also counts the time of other processes, so try again while processor time is left.
    }
  }
  return 'took too long'
}
