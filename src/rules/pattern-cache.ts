import type { FastifyBaseLogger } from 'fastify'
import type { Fits } from './custom-fields.js'
import { compilePattern, type Pattern } from './patterns.js'

const capacity = 1000

/** Compiles each stored pattern once. One that is no pattern fits nothing, and is logged. */
export function createPatternCache (log: Pick<FastifyBaseLogger, 'error'>): Fits {
  const compiled = new Map<string, Pattern>()
  return ({ id, regexp }, text) => {
    let pattern = compiled.get(regexp)
    if (pattern === undefined) {
      try {
        pattern = compilePattern(regexp)
      } catch (error) {
        log.error({ err: error, customField: id }, 'the pattern of a custom field does not compile')
        pattern = () => false
      }
      // Patterns are an administrator's, so few; the bound is for one who stores new ones for years.
      if (compiled.size === capacity) compiled.clear()
      compiled.set(regexp, pattern)
    }
    return pattern(text)
  }
}
