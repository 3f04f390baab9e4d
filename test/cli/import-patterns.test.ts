// Patterns of custom fields that match no value: imported with a warning.

import { join } from 'node:path'
import t from 'tap'
import { withDatabase } from './sqlite-files.js'
import { cli } from './run-cli.js'

/** Patterns, and the reason why they match no value. Without a reason they are right. */
const scenarios: Array<[pattern: string, problem?: string]> = [
  [''],
  ['^(gold|silver)$'],
  ['^/ends/with/slashes/?$'],
  ['/part/'],
  ['/^\\d+$/', 'the slashes around it count as a part of it'],
  ['/^\\d+$/gi', 'the slashes around it count as a part of it'],
  ['/\\d+$/', 'the slashes around it count as a part of it'],
  ['/^\\d+/', 'the slashes around it count as a part of it'],
  ['(?i)gold', 'Invalid regular expression: /(?i)gold/: Invalid group'],
  ['(?P<a>x)', 'Invalid regular expression: /(?P<a>x)/: Invalid group'],
  ['[z-a]', 'Invalid regular expression: /[z-a]/: Range out of order in character class'],
  ['a'.repeat(10_001), 'it is too large'],
  ['(?:(a+)+){9}'.repeat(100), 'it is too large'],
  ['^(a+)+$'],
  ['(', 'Invalid regular expression: /(/: Unterminated group']
]

t.test('a pattern that matches no value: a warning with the reason, and it is imported', async (t) => {
  const file = join(t.testdir(), 'a.db')
  const stdin = scenarios.map(([regexp], i) => `${JSON.stringify({ _id: `f${i}`, regexp })}\n`).join('')
  for (const argv of [[], ['--on-error', 'skip'], ['--dry-run']]) {
    const { code, out, err } = await cli(['import', '--custom-fields', '-', '--database', file, ...argv], { stdin })
    t.equal(code, 0)
    t.match(out, / 0 skipped/)
    t.strictSame(err.trimEnd().split('\n'), scenarios.flatMap(([pattern, problem], i) =>
      problem === undefined ? [] : `-, line ${i + 1}: Warning: the pattern ${pattern} of the custom field f${i} fits no value: ${problem}`))
  }
  const stored = withDatabase(file, (database) => database.prepare('SELECT regexp FROM omnichannel_custom_field ORDER BY rowid').pluck().all())
  t.strictSame(stored, scenarios.map(([pattern]) => pattern))
})
