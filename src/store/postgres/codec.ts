// Encodes and decodes values. They are sent and received as texts, so that the host's type parsers do not matter. They are decoded to
// the values that SQLite returns, so that the rules get the same rows from both engines.

const BOOL = 16
/** int8, int2, int4, float4, float8 and numeric. */
const NUMBERS = [20, 21, 23, 700, 701, 1700]
/** json and jsonb. */
const JSON_TYPES = [114, 3802]

// `text` cannot hold U+0000. It is stored as ␀0, and a ␀ that is followed by a 0 or 1 as ␀1.

export function encodeText (text: string): string {
  return text.replace(/\0|␀(?=[01])/g, (found) => found === '\0' ? '␀0' : '␀1')
}

export function decodeText (text: string): string {
  return text.includes('␀') ? text.replace(/␀([01])/g, (_, digit) => digit === '0' ? '\0' : '␀') : text
}

type Value = string | number | null

/** Encodes a value as a parameter. A list becomes an array of texts. */
export function toParameter (value: Value | readonly Value[]): string | null {
  if (value === null) return null
  return typeof value === 'object' ? `{${value.map(toItem).join(',')}}` : encodeText(String(value))
}

function toItem (value: Value): string {
  return value === null ? 'NULL' : `"${encodeText(String(value)).replace(/["\\]/g, '\\$&')}"`
}

/** Returns the parser for columns of a type. */
export function parserOf (oid: number): (text: string) => unknown {
  if (oid === BOOL) return (text) => text === 't' ? 1 : 0
  // JSON may have U+0000 only as an escape.
  if (JSON_TYPES.includes(oid)) return (text) => decodeText(text).replaceAll('\0', '\\u0000')
  return NUMBERS.includes(oid) ? Number : decodeText
}
