// V8 has read a pattern before it comes here, so this only has to tell its parts from each other.

/** A character, an escape, a class, or what opens or closes a group, as it is written; and how often it is repeated. */
export interface Part {
  text: string
  /** Empty for once. */
  quantifier: string
}

const TEXTS = [
  /\\(?:u[\da-fA-F]{4}|x[\da-fA-F]{2}|c[a-zA-Z]|k<[\w$\u0080-\uffff]*>|0[0-7]{0,2}|[1-9]\d*|[^])/,
  /\[(?:\\[^]|[^\]\\])*\]/,
  /\(\?(?:<?[=!]|<[^>]*>|[a-z-]*:)/,
  /[^]/
]
const QUANTIFIER = /(?:[*+?]|\{\d+(?:,\d*)?\})\??/
const PART = new RegExp(`(${TEXTS.map(({ source }) => source).join('|')})(${QUANTIFIER.source})?`, 'g')

export function partsOf (source: string): Part[] {
  return Array.from(source.matchAll(PART), ([, text = '', quantifier = '']) => ({ text, quantifier }))
}
