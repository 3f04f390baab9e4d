// JavaScript without the u flag matches UTF-16 code units, RE2 matches code points. So surrogates move, in the pattern
// as in the text, to code points of their own at the end of plane 16. Those below them then never occur in a text,
// which leaves RE2's negated classes right as they are.

import type { AST } from '@eslint-community/regexpp'

const SURROGATE = /[\ud800-\udfff]/
const FIRST_SURROGATE = 0xd800
const LAST_SURROGATE = 0xdfff
const MOVED = 0x100000

// A larger count RE2 refuses, or reads as literal text.
const MAX_COUNT = 1000

// RE2's \s lacks what JavaScript's has beyond ASCII.
const SPACE = String.raw`\x{9}-\x{d}\x{20}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}`
const NOT_SPACE = String.raw`\x{0}-\x{8}\x{e}-\x{1f}\x{21}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}` +
  String.raw`\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{fefe}\x{ff00}-\x{10ffff}`
const NOT_LINE_END = String.raw`\x{0}-\x{9}\x{b}\x{c}\x{e}-\x{2027}\x{202a}-\x{10ffff}`
const ALL = String.raw`\x{0}-\x{10ffff}`

/** The text as RE2 has to see it: one code point for each UTF-16 code unit. */
export function oneRunePerUnit (text: string): string {
  if (!SURROGATE.test(text)) return text
  // A replace with a callback takes ten times as long, which 256 Ki of emoji would notice.
  const bytes = Buffer.alloc(text.length * 4)
  let end = 0
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (isSurrogate(unit)) {
      const offset = MOVED + unit - 0x10000
      end = bytes.writeUInt16LE(0xd800 | (offset >> 10), end)
      end = bytes.writeUInt16LE(0xdc00 | (offset & 0x3ff), end)
    } else {
      end = bytes.writeUInt16LE(unit, end)
    }
  }
  return bytes.toString('utf16le', 0, end)
}

/**
 * Translates a pattern to RE2 syntax for texts that went through {@link oneRunePerUnit}. Only whether it matches is
 * kept, not what: captures become plain groups, lazy quantifiers greedy ones.
 *
 * @throws RangeError when RE2 has no equal for it.
 */
export function toRe2 ({ alternatives }: Pick<AST.Pattern, 'alternatives'>): string {
  const branches = alternatives.map(({ elements }) => elements.map(translate).join(''))
  return `(?:${branches.join('|')})`
}

function translate (element: AST.Element): string {
  if (element.type === 'Character') return members(element)
  if (element.type === 'CharacterSet') return `[${members(element)}]`
  if (element.type === 'CharacterClass' && !element.unicodeSets) {
    const inside = element.elements.map(members).join('')
    if (inside === '') return element.negate ? `[${ALL}]` : `[^${ALL}]`
    return element.negate ? `[^${inside}]` : `[${inside}]`
  }
  if (element.type === 'CapturingGroup' || (element.type === 'Group' && element.modifiers === null)) return toRe2(element)
  if (element.type === 'Quantifier' && element.min <= MAX_COUNT && (element.max <= MAX_COUNT || element.max === Infinity)) {
    return `(?:${translate(element.element)}){${element.min},${element.max === Infinity ? '' : element.max}}`
  }
  if (element.type === 'Assertion') {
    if (element.kind === 'start') return String.raw`\A`
    if (element.kind === 'end') return String.raw`\z`
    if (element.kind === 'word') return element.negate ? String.raw`\B` : String.raw`\b`
  }
  throw new RangeError(`RE2 has no ${element.raw}`)
}

function members (item: AST.ClassRangesCharacterClassElement | AST.CharacterSet): string {
  if (item.type === 'Character') return codePoint(isSurrogate(item.value) ? MOVED + item.value : item.value)
  if (item.type === 'CharacterClassRange') return range(item.min.value, item.max.value)
  if (item.kind === 'any') return NOT_LINE_END
  if (item.kind === 'digit') return item.negate ? String.raw`\D` : String.raw`\d`
  if (item.kind === 'word') return item.negate ? String.raw`\W` : String.raw`\w`
  // The kind left, \p, exists with the u flag only.
  return item.negate ? NOT_SPACE : SPACE
}

function range (from: number, to: number): string {
  const first = Math.max(from, FIRST_SURROGATE)
  const last = Math.min(to, LAST_SURROGATE)
  const moved = first <= last ? `${codePoint(MOVED + first)}-${codePoint(MOVED + last)}` : ''
  return `${codePoint(from)}-${codePoint(to)}${moved}`
}

function codePoint (value: number): string {
  return `\\x{${value.toString(16)}}`
}

function isSurrogate (unit: number): boolean {
  return unit >= FIRST_SURROGATE && unit <= LAST_SURROGATE
}
