// Calls src/rules/patterns directly, because the route trims texts, and some of these need white space around. custom-fields.test.ts
// tests the answers of the route.

import t from 'tap'
import { makeInterruptible } from '../../src/rules/patterns/interrupt-points.js'
import { tokenize } from '../../src/rules/patterns/tokens.js'
import { createPatternCache, type PatternProblem } from '../../src/rules/patterns/index.js'

const LONG_TEXT = 'a'.repeat(50_000)
/** Adds a branch that matches no text, but may take 2^40 steps. So src/rules/patterns adds its clock, and the result stays the same. */
const addSlowBranch = (source: string): string => `(?:${source})|(?:\u0001?){40}\u0002`

/** Whether the text matches, or the problem. A new request is started for it. */
function resultOf (source: string, text: string, cache = createPatternCache()): boolean | PatternProblem {
  const problems: PatternProblem[] = []
  const matches = cache.createMatcher((_field, problem) => { problems.push(problem) })
  const result = matches({ id: 'field', label: '', required: 0, regexp: source }, text)
  return problems[0] ?? result
}

interface Case { name: string, source: string, text: string, expected: boolean | PatternProblem }

const cases: Case[] = [
  { name: 'digits: match', source: '^[0-9]+$', text: '0123456789', expected: true },
  { name: 'digits and a letter: no match', source: '^[0-9]+$', text: '01234x', expected: false },
  { name: 'unanchored: matches inside', source: 'b', text: 'abc', expected: true },
  { name: 'empty pattern: matches everything', source: '', text: 'x', expected: true },
  { name: '$ before a final newline: no match', source: 'a$', text: 'a\n', expected: false },
  { name: '^ after a newline: no match', source: '^b', text: 'a\nb', expected: false },
  { name: 'dot and carriage return: no match', source: '^.$', text: '\r', expected: false },
  { name: 'dot and U+2028: no match', source: '^.$', text: '\u2028', expected: false },
  { name: 'dot and NEL: match', source: '^.$', text: '\x85', expected: true },
  { name: 'dot and an emoji: two code units', source: '^.$', text: '😀', expected: false },
  { name: 'two dots and an emoji: match', source: '^..$', text: '😀', expected: true },
  { name: 'emoji in a class: its halves', source: '^[😀]{2}$', text: '😀', expected: true },
  { name: 'high surrogate alone: found in an emoji', source: '\\ud83d', text: 'x😀', expected: true },
  { name: 'range across the surrogates: match', source: '^[\\ud000-\\ue010]{2}$', text: '😀', expected: true },
  { name: 'range beside the surrogates: no match', source: '[\\ue000-\\uffff]', text: '😀', expected: false },
  { name: 'negated class and a lone surrogate: match', source: '^[^a]$', text: '\ud800', expected: true },
  { name: '\\s and NBSP: match', source: '^\\s$', text: '\xa0', expected: true },
  { name: '\\s and BOM: match', source: '^\\s$', text: '\ufeff', expected: true },
  { name: '\\S and NBSP: no match', source: '\\S', text: '\xa0', expected: false },
  { name: '\\S in a class and an emoji: match', source: '^[\\S]{2}$', text: '😀', expected: true },
  { name: '[\\s\\S] and a newline: match', source: '^[\\s\\S]$', text: '\n', expected: true },
  { name: '\\d and an Arabic digit: no match', source: '\\d', text: '\u0661', expected: false },
  { name: '\\D and a letter: match', source: '^\\D$', text: 'a', expected: true },
  { name: '\\w and é: no match', source: '\\w', text: 'é', expected: false },
  { name: '\\W and é: match', source: '^\\W$', text: 'é', expected: true },
  { name: '\\b and é: no word', source: 'é\\b', text: 'é', expected: false },
  { name: '\\b: match', source: '\\bfoo\\b', text: 'a foo b', expected: true },
  { name: '\\B on the empty text: match', source: '^\\B$', text: '', expected: true },
  { name: 'empty class: never', source: '[]', text: 'a', expected: false },
  { name: 'negated empty class: anything', source: '^[^]$', text: '\n', expected: true },
  { name: 'lazy quantifier: same verdict', source: '^a+?b*?$', text: 'aab', expected: true },
  { name: 'counted: too many', source: '^a{2,3}$', text: 'aaaa', expected: false },
  { name: 'counted, open: match', source: '^a{2,}$', text: 'aaaa', expected: true },
  { name: 'count beyond what RE2 knows: match', source: '^a{0,1001}$', text: 'aaa', expected: true },
  { name: 'count required beyond what RE2 knows: no match', source: '^a{1001,}$', text: 'aaa', expected: false },
  { name: 'named group: plain group', source: '^(?<year>\\d{4})$', text: '2026', expected: true },
  { name: 'non-capturing group: match', source: '^(?:ab|c)+$', text: 'abcab', expected: true },
  { name: 'named backreference: match', source: '^(?<n>a|b)\\k<n>$', text: 'bb', expected: true },
  { name: 'backreference: no match', source: '^(a|b)\\1$', text: 'ab', expected: false },
  { name: 'repeated backreference: match', source: '^(a|b)\\1+$', text: 'aaa', expected: true },
  { name: 'lookahead: match', source: '^(?=.*\\d)(?=.*[a-z]).{4,}$', text: 'abc1', expected: true },
  { name: 'negative lookahead: no match', source: '^(?!admin)', text: 'administrator', expected: false },
  { name: 'lookbehind, read backwards: match', source: '(?<=a*b)c', text: 'aabc', expected: true },
  { name: 'quantified lookahead: match', source: '^(?=b)*a$', text: 'a', expected: true },
  { name: 'Annex B \\8: the digit', source: '^\\8$', text: '8', expected: true },
  { name: 'Annex B \\101: octal', source: '^\\101$', text: 'A', expected: true },
  { name: 'Annex B lone brace and bracket: literal', source: '^{]}$', text: '{]}', expected: true },
  { name: 'Annex B x{,5}: literal', source: '^x{,5}$', text: 'x{,5}', expected: true },
  { name: 'Annex B \\c: a backslash and c', source: '^\\c$', text: '\\c', expected: true },
  { name: 'Annex B [\\c0]: control character', source: '^[\\c0]$', text: '\x10', expected: true },
  { name: 'Annex B \\18 without groups: octal and an 8, which is repeated', source: '^\\18+$', text: '\x0188', expected: true },
  { name: 'Annex B \\k<n> without a name: its letters, the last of them repeated', source: '^(n)\\k<n>+$', text: 'nk<n>>', expected: true },
  { name: 'Annex B \\k< before a group: two characters', source: '^\\k<(a|b)>+$', text: 'k<b>>', expected: true },
  { name: 'Annex B \\k without groups: k', source: '^\\k$', text: 'k', expected: true },
  { name: '\\u{3}: u three times', source: '^\\u{3}$', text: 'uuu', expected: true },
  { name: '\\p{L}: p{L}', source: '^\\p{L}$', text: 'p{L}', expected: true },
  { name: '\\- : a hyphen', source: '^\\-$', text: '-', expected: true },
  { name: '[\\w-a]: a hyphen too', source: '^[\\w-a]$', text: '-', expected: true }
]

const tooSlow = 'took too long'
const tooLarge = 'is too large'
/** Patterns that would block the event loop in RegExp, or come close to a limit. */
const hostile: Case[] = [
  { name: '(a+)+, which fails', source: '^(a+)+$', text: LONG_TEXT + '!', expected: tooSlow },
  { name: '(a+)+, which fits', source: '^(a+)+$', text: LONG_TEXT, expected: true },
  { name: '(a|a)*$: the empty match at the end, which V8 never reaches', source: '(a|a)*$', text: LONG_TEXT + '!', expected: tooSlow },
  { name: '(.*)*=', source: '(.*)*=', text: LONG_TEXT, expected: tooSlow },
  { name: '(a+){10}b', source: '(a+){10}b', text: LONG_TEXT, expected: tooSlow },
  { name: 'backreference', source: '^(a*)*\\1b$', text: LONG_TEXT, expected: tooSlow },
  { name: 'lookahead', source: '^(?=(a+)+b)', text: LONG_TEXT, expected: tooSlow },
  { name: 'after a timeout: the next pattern is not disturbed', source: '^(?=(a+)+b)a', text: 'aab', expected: true },
  { name: 'counts within counts', source: '(x{1000}){1000}', text: LONG_TEXT, expected: false },
  { name: 'an infinite number of ways to match', source: '(?:(?:a*)*)*(?=!)', text: 'aa!', expected: true },
  { name: 'a long list of words', source: `^(?:${Array.from({ length: 400 }, (_, index) => `word${index}`).join('|')})$`, text: 'word399', expected: true },
  { name: 'the longest source that is allowed', source: `a${'b'.repeat(9999)}`, text: 'a' + 'b'.repeat(9999), expected: true },
  { name: 'a source that is too long', source: `a${'b'.repeat(10_000)}`, text: 'a' + 'b'.repeat(10_000), expected: tooLarge },
  { name: 'nested too deeply', source: '('.repeat(5000) + 'a' + ')'.repeat(5000), text: 'a', expected: tooLarge },
  { name: 'nested deeper than V8 reads', source: '('.repeat(50_000) + 'a' + ')'.repeat(50_000), text: 'a', expected: tooLarge },
  { name: 'megabytes, which take a second to read', source: '(?:)'.repeat(5_000_000), text: 'a', expected: tooLarge },
  { name: 'Annex B \\uz and \\xz, often: many letters to compile', source: `(?:${'\\uzzzz\\xzz'.repeat(500)}){2}`, text: 'a', expected: tooLarge },
  { name: 'emoji, many of them', source: '^(?:..)+$', text: '😀'.repeat(8192), expected: true },
  // Each of these takes V8 seconds, or hours, to compile as it stands.
  { name: 'optional groups within each other', source: `(?=)${'('.repeat(1363)}a${')?'.repeat(1363)}`, text: 'a', expected: tooLarge },
  { name: 'optional groups within each other, as many as are allowed', source: `(?=)${'('.repeat(95)}a${')?'.repeat(95)}`, text: 'a', expected: true },
  { name: 'lists of alternatives, one after the other', source: `(?:${Array(41).fill('\\S').join('|')})`.repeat(8), text: 'abcdefgh', expected: true },
  { name: 'empty alternatives before a boundary', source: `${'(a|)'.repeat(180)}\\B(?:)(?:a?b)`, text: 'ab', expected: true },
  { name: 'boundaries within each other', source: `${'(?:\\ba?'.repeat(30)}a${'){2}'.repeat(30)}`, text: 'b', expected: false },
  { name: 'optional characters, one after the other', source: `${'a?'.repeat(80)}bbbb`, text: 'aabbbb', expected: true },
  { name: 'counts within counts of empty groups', source: `${'(?:'.repeat(9)}(?:|a)${'){100}'.repeat(9)}b`, text: 'aab', expected: tooSlow },
  { name: 'an empty group, a billion times', source: '()\\1{1000000000}b', text: 'b', expected: tooSlow },
  { name: 'a backreference to one of many groups', source: `${'(a)?'.repeat(300)}\\1`, text: 'a', expected: tooLarge },
  { name: 'the largest class that is allowed', source: `^[${Array.from({ length: 7000 }, (_, index) => String.fromCharCode(0xd000 - index)).join('')}]$`, text: '一', expected: false }
]

const invalidSources = ['[b-a]', '[', '(?<a>x)(?<a>y)', '(', ')', '*', 'a**', 'a{2,1}', '(?<n>a)\\k<m>', '(?<n>a)\\k', '(?<1>a)', '(?<=a)*', '{1}', '\\']

t.test('a pattern, with and without the clock: the same result as in RegExp', async (t) => {
  for (const { name, source, text, expected } of cases) {
    t.equal(new RegExp(source).test(text), expected, `${name}, in RegExp`)
    t.equal(resultOf(source, text), expected, name)
    t.equal(resultOf(addSlowBranch(source), text), expected, `${name}, with the clock`)
  }
})

t.test('a hostile pattern: has a result, or is refused as too slow or too large', async (t) => {
  for (const { name, source, text, expected } of hostile) t.equal(resultOf(source, text), expected, name)
})

t.test('an invalid pattern: rejected with the reason', async (t) => {
  for (const source of invalidSources) t.match(resultOf(source, 'a'), /^does not compile: .*: [\w\\]/, source)
  t.equal(resultOf('(?i)a', 'a'), 'does not compile: Invalid regular expression: /(?i)a/: Invalid group')
})

t.test('slow patterns of one request: share a budget of processor time, and the next request has a new one', async (t) => {
  const cache = createPatternCache()
  const problems: Array<[id: string, problem: PatternProblem]> = []
  const matches = cache.createMatcher(({ id }, problem) => { problems.push([id, problem]) })
  const check = (id: string, regexp: string, text: string): boolean => matches({ id, label: '', required: 0, regexp }, text)
  t.equal(check('quick', '^a+$', 'aaa'), true)
  t.equal(check('slow', '^(a+)+$', `${'a'.repeat(50)}!`), false)
  // A cheaper pattern might still run in the small rest of the budget, so this is the same pattern again.
  t.equal(check('after', '^(a+)+$', 'aaa'), false)
  t.strictSame(problems, [['slow', 'took too long'], ['after', 'took too long']])
  t.equal(resultOf('^(a+)+$', 'aaa', cache), true, 'in the next request')
})

t.test('other threads use the processor: a pattern is tried again, until it has used its own processor time', async (t) => {
  // Between two calls, this thread uses 30 ms.
  let calls = 0
  const cpuUsageCalls = t.capture(process, 'cpuUsage', () => ({ user: calls++ * 30_000, system: 0 }))
  const start = performance.now()
  t.equal(resultOf('^(a+)+$', LONG_TEXT + '!'), tooSlow)
  // The budget is 75 ms. Each attempt may take as long as there is budget left: 75, 45 and 15 ms. One call is before the first.
  t.equal(cpuUsageCalls().length, 4)
  t.ok(performance.now() - start > 75 + 45, 'the attempts take longer than the budget on the wall clock')
})

t.test('processor time: measured only before a step that may take long', async (t) => {
  const cpuUsageCalls = t.capture(process, 'cpuUsage', () => ({ user: 0, system: 0 }))
  const cache = createPatternCache()
  const countCalls = (source: string, text: string): number => {
    resultOf(source, text, cache)
    return cpuUsageCalls().length
  }
  t.equal(countCalls('^a+$', 'aaa'), 1, 'before a new pattern is read')
  t.equal(countCalls('^a+$', 'aaa'), 0, 'not for a cached pattern that is provably fast')
  countCalls('^(a+)+$', LONG_TEXT)
  t.equal(countCalls('^(a+)+$', LONG_TEXT), 1, 'before a cached pattern that may take long')
})

t.test('a used-up budget: no other pattern is tried', async (t) => {
  const problems: Array<[id: string, problem: PatternProblem]> = []
  const matches = createPatternCache().createMatcher(({ id }, problem) => { problems.push([id, problem]) })
  let usedMs = 0
  t.capture(performance, 'now', () => usedMs)
  t.capture(process, 'cpuUsage', () => ({ user: usedMs * 1000, system: 0 }))
  t.equal(matches({ id: 'first', label: '', required: 0, regexp: '^a+$' }, 'aaa'), true)
  usedMs = 100
  t.equal(matches({ id: 'second', label: '', required: 0, regexp: '^b+$' }, 'bbb'), false)
  t.strictSame(problems, [['second', 'took too long']])
})

t.test('the thread waits for 80 ms, more than the budget, before processor time is measured: the pattern has its result', async (t) => {
  const cache = createPatternCache()
  resultOf('^a+$', 'aaa', cache)
  let calls = 0
  t.capture(performance, 'now', () => calls++ * 80)
  t.equal(resultOf('^a+$', 'aaa', cache), true)
})

t.test('a stack overflow in V8: the pattern is not tried again', async (t) => {
  const test = Reflect.get(RegExp.prototype, 'test')
  let attempts = 0
  t.intercept(RegExp.prototype, 'test', {
    value (this: RegExp, text: string) {
      if (!this.source.endsWith('overflow$')) return test.call(this, text)
      attempts++
      throw new RangeError('Maximum call stack size exceeded')
    }
  })
  t.equal(resultOf('^(a+)+overflow$', LONG_TEXT), tooSlow)
  t.equal(attempts, 1)
})

t.test('more large patterns than the cache holds: each still gives its result', async (t) => {
  const cache = createPatternCache()
  const sources = Array.from({ length: 120 }, (_, index) => `^(?:${'word|'.repeat(1500)}${index})$`)
  for (const source of [...sources, ...sources]) {
    t.equal(resultOf(source, '7', cache), source.endsWith('|7)$'))
    t.equal(resultOf(source, 'word', cache), true)
    t.equal(resultOf(source, 'words', cache), false)
  }
})

t.test('many classes that ignore case: not compiled, because this takes too long', async (t) => {
  const classes = '[a-z]'.repeat(1000)
  t.not(makeInterruptible(tokenize(`(?:${classes})`)), undefined)
  t.equal(makeInterruptible(tokenize(`(?i:${classes})`)), undefined)
})
