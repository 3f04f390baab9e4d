// Scans the text of a JSON object without making values of it. To parse and write a hundred thousand members would block the event loop
// for 70 ms.

const [QUOTE, COMMA, COLON, BACKSLASH, LOWER_U, OPEN_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [34, 44, 58, 92, 117, 91, 123, 125]
/** The distance from the code of an opening bracket to that of its closing one. */
const TO_CLOSING = 2
/** Literals, and numbers that stay the same after JSON.parse and JSON.stringify. 1e400 becomes null, and -0 becomes 0. */
const keptScalar = /(?:0|-?[1-9]\d{0,99})(?:\.\d+)?(?![\d.eE])|true|false|null/y
const number = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const hexDigits = /^[\da-fA-F]{4}$/

/**
 * Calls `onMember` with the key and the text of each member, but not with members of nested objects.
 *
 * @returns whether `JSON.stringify(JSON.parse(json))` has the same values
 * @throws {SyntaxError} if the text is not a JSON object
 */
export function scanObject (json: string, onMember?: (key: string, text: string) => void): boolean {
  /** The closing brackets of the arrays and objects around the current value. */
  const closings: number[] = []
  let at = 0
  let [keyText, keyStart, valueStart] = ['', 0, 0]
  let isKept = true

  function fail (): never {
    throw new SyntaxError(`Not a JSON object, at position ${at}`)
  }

  function skipBlanks (): number {
    let code = json.charCodeAt(at)
    while (code === 32 || code === 10 || code === 13 || code === 9) code = json.charCodeAt(++at)
    return code
  }

  function readString (): void {
    if (json.charCodeAt(at) !== QUOTE) fail()
    for (let code = json.charCodeAt(++at); code !== QUOTE; code = json.charCodeAt(++at)) {
      if (code === BACKSLASH) readEscape()
      // At the end of the text the code is NaN.
      else if (!(code >= 32)) fail()
    }
    at++
  }

  function readEscape (): void {
    if (json.charCodeAt(++at) === LOWER_U) {
      if (!hexDigits.test(json.slice(at + 1, at + 5))) fail()
      at += 4
    } else if (at === json.length || !'"\\/bfnrt'.includes(json.charAt(at))) fail()
  }

  function readScalar (): void {
    keptScalar.lastIndex = number.lastIndex = at
    const scalar = keptScalar.test(json) ? keptScalar : number
    if (scalar === number && !number.test(json)) fail()
    isKept &&= scalar === keptScalar
    at = scalar.lastIndex
  }

  function readKey (): void {
    skipBlanks()
    const start = at
    readString()
    const end = at
    if (skipBlanks() !== COLON) fail()
    at++
    if (closings.length > 1) return
    skipBlanks()
    ;[keyText, keyStart, valueStart] = [json.slice(start, end), start, at]
  }

  function endMember (end: number): void {
    const key = keyText.includes('\\') ? JSON.parse(keyText) as string : keyText.slice(1, -1)
    // Without blanks and escapes the text can be copied as it is.
    const hasBlanks = valueStart - keyStart > keyText.length + 1
    const hasEscapes = key.length !== keyText.length - 2
    onMember?.(key, hasBlanks || hasEscapes ? `${JSON.stringify(key)}:${json.slice(valueStart, end)}` : json.slice(keyStart, end))
  }

  /** Reads an opening bracket. Returns false if the array or object is empty; then it has also read the closing one. */
  function open (code: number): boolean {
    at++
    if (skipBlanks() === code + TO_CLOSING) {
      at++
      return false
    }
    closings.push(code + TO_CLOSING)
    if (code === OPEN_OBJECT) readKey()
    return true
  }

  /** Reads everything between two values. Returns false at the end of the object. */
  function next (): boolean {
    while (closings.length > 0) {
      const end = at
      const code = skipBlanks()
      if (closings.length === 1) endMember(end)
      at++
      const closing = closings.at(-1)
      if (code === COMMA) {
        if (closing === CLOSE_OBJECT) readKey()
        return true
      }
      if (code !== closing) fail()
      closings.pop()
    }
    return false
  }

  if (skipBlanks() !== OPEN_OBJECT) fail()
  let isInside = open(OPEN_OBJECT)
  while (isInside) {
    const code = skipBlanks()
    if (code === OPEN_OBJECT || code === OPEN_ARRAY) {
      if (open(code)) continue
    } else if (code === QUOTE) readString()
    else readScalar()
    isInside = next()
  }
  skipBlanks()
  if (at < json.length) fail()
  return isKept
}
