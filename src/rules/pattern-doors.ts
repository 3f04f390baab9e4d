// V8 cannot be interrupted while it compiles, and looks ahead then from each part of a pattern into all that may follow:
// some patterns of a few hundred characters take it seconds, or hours. A loop that matches nothing stops that look
// ahead. Put as a door in front of each group and each repeated part, it changes no answer, and compiling takes a time
// that grows with the number of parts.

const DOOR = '(?:(?!)|[])*'

// Found by trying: no pattern within these bounds took V8 more than some 30 ms to compile.
const MAX_LENGTH = 4096
const MAX_DOORS = 400
const MAX_DEPTH = 100

const ESCAPE = /\\(?:u[\da-fA-F]{4}|x[\da-fA-F]{2}|c[a-zA-Z]|k<[^>]*>|\d+|[^])/
const CLASS = /\[(?:\\[^]|[^\]\\])*\]/
const OPENING = /\(\?(?:<?[=!]|:|<[^>]*>|[a-z-]*:)/
const COUNT = /[*+?]\??|\{\d+(?:,\d*)?\}\??/
const TOKEN = new RegExp([ESCAPE, CLASS, OPENING, COUNT, /[^]/].map(({ source }) => source).join('|'), 'g')
const QUANTIFIER = /^(?:[*+?]|\{\d)/
const BACKREFERENCE = /^\\[1-9k]/
const CAPTURE = /^\((?:$|\?<[^=!])/
const BOUNDARY = /^\\b$/i

/** The source with doors, for a pattern that compiles; undefined when it is too large or too deeply nested. */
export function withDoors (source: string): string | undefined {
  if (source.length > MAX_LENGTH) return undefined
  const tokens = source.match(TOKEN) ?? []
  const needsCaptures = tokens.some((token) => BACKREFERENCE.test(token))
  let doors = 0
  const door = (): string => { doors++; return DOOR }

  const isRepeated: boolean[] = []
  let depth = 0
  const parts = tokens.map((token, index) => ({ token, repeated: QUANTIFIER.test(tokens[index + 1] ?? '') })).reverse()
    .map(({ token, repeated }) => {
      if (token === ')') {
        depth = Math.max(depth, isRepeated.push(repeated))
      } else if (token.startsWith('(')) {
        const opening = !needsCaptures && CAPTURE.test(token) ? '(?:' : token
        return door() + opening + (isRepeated.pop() === true ? door() : '')
      } else if (BOUNDARY.test(token)) {
        return door() + token
      } else if (repeated && !QUANTIFIER.test(token)) {
        return BACKREFERENCE.test(token) ? `${door()}(?:${door()}${token})` : door() + token
      }
      return token
    })
  return depth <= MAX_DEPTH && doors <= MAX_DOORS ? parts.reverse().join('') : undefined
}
