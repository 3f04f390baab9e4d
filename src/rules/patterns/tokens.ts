/** A character, an escape, a class, `|`, or the opening or closing bracket of a group, with its quantifier. */
export interface Token {
  text: string
  /** Empty if there is none. */
  quantifier: string
}

/** An escape, a class, the beginning of a group, any other character. */
const TEXTS = [
  /\\(?:u[\da-fA-F]{4}|x[\da-fA-F]{2}|c[a-zA-Z]|k<[\w$\u0080-\uffff]*>|0[0-7]{0,2}|[1-9]\d*|[^])/,
  /\[(?:\\[^]|[^\]\\])*\]/,
  /\(\?(?:<?[=!]|<[^>]*>|[a-z-]*:)/,
  /[^]/
]
const QUANTIFIER = /(?:[*+?]|\{\d+(?:,\d*)?\})\??/
const TOKEN = new RegExp(`(${TEXTS.map(({ source }) => source).join('|')})(${QUANTIFIER.source})?`, 'g')

/** Splits a pattern that V8 has already accepted. */
export function tokenize (source: string): Token[] {
  return Array.from(source.matchAll(TOKEN), ([, text = '', quantifier = '']) => ({ text, quantifier }))
}
