// Reads the text of a JSON object without making values of it. To parse a hundred thousand members, and to write them again, would hold
// the event loop for too long.

const [QUOTE, COMMA, COLON, BACKSLASH, LOWER_U, OPEN_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [34, 44, 58, 92, 117, 91, 123, 125]
/** From an opening bracket to its closing one. */
const TO_CLOSING = 2
/** What JavaScript writes as the same value. It makes Infinity of 1e400, and 0 of -0. */
const ordinary = /(?:0|-?[1-9]\d{0,99})(?:\.\d+)?(?![\d.eE])|true|false|null/y
const number = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const hexDigits = /^[\da-fA-F]{4}$/

/**
 * Calls `onMember` for each member of the object itself, with its key and its text.
 *
 * @returns whether JavaScript would leave all values as they are if it parsed and wrote the text
 * @throws {SyntaxError} when it is no JSON object
 */
export function scanObject (json: string, onMember?: (key: string, text: string) => void): boolean {
  /** The closing brackets that are still to come. */
  const closings: number[] = []
  let at = 0
  let [keyText, keyStart, valueStart] = ['', 0, 0]
  let isUnchanged = true

  function fail (): never {
    throw new SyntaxError(`No JSON object, at position ${at}`)
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
      // NaN behind the end.
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
    ordinary.lastIndex = number.lastIndex = at
    const isOrdinary = ordinary.test(json)
    if (!isOrdinary && !number.test(json)) fail()
    isUnchanged &&= isOrdinary
    at = isOrdinary ? ordinary.lastIndex : number.lastIndex
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
    if (keyText.includes('\\')) {
      const key = JSON.parse(keyText) as string
      return onMember?.(key, `${JSON.stringify(key)}:${json.slice(valueStart, end)}`)
    }
    const isDense = valueStart - keyStart === keyText.length + 1
    onMember?.(keyText.slice(1, -1), isDense ? json.slice(keyStart, end) : `${keyText}:${json.slice(valueStart, end)}`)
  }

  /** Opens a bracket; returns false when it is empty, and then it is closed. */
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

  /** Goes on to the next value, out of all brackets that end here; returns false at the end of the object. */
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
  return isUnchanged
}
