// Scans the text of a JSON object without parsing its values. Parsing and stringifying a hundred thousand members would block the event loop
// for 70 ms.

const [QUOTE, COMMA, COLON, BACKSLASH, OPEN_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [34, 44, 58, 92, 91, 123, 125]
/** In Unicode, a closing bracket comes two after its opening one. */
const TO_CLOSING = 2
/** A literal, or a number that can be copied. The number of digits is limited, because 1e400 becomes null. -0 is left out: it becomes 0. */
const copiedScalar = /(?!-[0.]*(?![\d.]))-?(?:0|[1-9]\d{0,99})(?:\.\d{1,100})?(?:[eE][+-]?\d\d?)?(?![\d.eE])|true|false|null/y
/** Numbers that cannot be copied are parsed, because JSON.stringify writes them in another form. */
const anyNumber = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const hexDigits = /^[\da-fA-F]{4}$/

/**
 * Calls `onMember` with the key and the text `"key":value` of each member, but not for members of nested objects.
 *
 * @returns the JSON, with numbers as JSON.stringify writes them
 * @throws {SyntaxError} if the text is not a JSON object
 */
export function scanObject (json: string, onMember?: (key: string, text: string) => void): string {
  /** The closing brackets of the arrays and objects around the current value. */
  const closings: number[] = []
  let at = 0
  /** The key of the current member of the outermost object, with its quotes. */
  let keyText = ''
  let keyStart = 0
  let valueStart = 0
  /** The JSON up to `copiedTo`. */
  let result = ''
  let copiedTo = 0

  function fail (): never {
    throw new SyntaxError(`Not a JSON object, at position ${at}`)
  }

  /** Returns the code of the next character that is not blank. */
  function skipBlanks (): number {
    let code = json.charCodeAt(at)
    while (code === 32 || code === 10 || code === 13 || code === 9) code = json.charCodeAt(++at)
    return code
  }

  function readString (): void {
    if (json.charCodeAt(at) !== QUOTE) fail()
    for (let code = json.charCodeAt(++at); code !== QUOTE; code = json.charCodeAt(++at)) {
      if (code === BACKSLASH) {
        // The four digits after \u are checked here, and then skipped like other characters.
        const escaped = json.charAt(++at)
        if (escaped === 'u' ? !hexDigits.test(json.slice(at + 1, at + 5)) : !'"\\/bfnrt'.includes(escaped)) fail()
      // At the end of the text the code is NaN.
      } else if (!(code >= 32)) fail()
    }
    at++
  }

  function readScalar (): void {
    copiedScalar.lastIndex = anyNumber.lastIndex = at
    const scalar = copiedScalar.test(json) ? copiedScalar : anyNumber
    if (scalar === anyNumber && !anyNumber.test(json)) fail()
    const start = at
    at = scalar.lastIndex
    if (scalar === copiedScalar) return
    result += json.slice(copiedTo, start) + JSON.stringify(Number(json.slice(start, at)))
    copiedTo = at
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
    keyText = json.slice(start, end)
    keyStart = start
    valueStart = at
  }

  /** Reports the current member. An empty object has none. */
  function endMember (end: number): void {
    if (closings.length > 1 || keyText === '') return
    const key = keyText.includes('\\') ? JSON.parse(keyText) as string : keyText.slice(1, -1)
    // A member without blanks around its colon and without escapes in its key can be copied.
    const hasBlanks = valueStart - keyStart > keyText.length + 1
    const hasEscapes = key.length !== keyText.length - 2
    onMember?.(key, hasBlanks || hasEscapes ? `${JSON.stringify(key)}:${json.slice(valueStart, end)}` : json.slice(keyStart, end))
  }

  if (skipBlanks() !== OPEN_OBJECT) fail()
  for (;;) {
    const code = skipBlanks()
    if (code === OPEN_OBJECT || code === OPEN_ARRAY) {
      at++
      closings.push(code + TO_CLOSING)
      const isEmpty = skipBlanks() === code + TO_CLOSING
      if (!isEmpty) {
        if (code === OPEN_OBJECT) readKey()
        continue
      }
    } else if (code === QUOTE) readString()
    else readScalar()

    // A value has ended here, and perhaps the arrays and objects around it.
    let end = at
    while (skipBlanks() === closings.at(-1)) {
      endMember(end)
      closings.pop()
      end = ++at
    }
    if (closings.length === 0) break
    if (json.charCodeAt(at) !== COMMA) fail()
    endMember(end)
    at++
    if (closings.at(-1) === CLOSE_OBJECT) readKey()
  }
  if (at < json.length) fail()
  return result + json.slice(copiedTo)
}
