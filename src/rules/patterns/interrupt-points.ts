// V8 cannot be interrupted while it compiles, and looks ahead then from each part of a pattern into all that may follow:
// some patterns of a few hundred characters take it seconds, or hours. A loop that matches nothing stops that look
// ahead, and lets the clock in while V8 matches. Put as a door in front of each group and each repeated part, it changes
// no answer, and compiling takes a time that grows with the number of parts.

import type { Part } from './parts.js'

const DOOR = '(?:(?!)|[])*'
const CAPTURE = /^\((?:$|\?<[^=!])/
const CLASS = /^(?:\.|\[|\\[dswDSW])/
const IGNORE_CASE = /^\(\?[a-z]*i/

// What there is to compile, in units of one to two microseconds. Found by trying, with Node.js 20 to 26.
const MAX_WORK = 20_000
const DOOR_WORK = 20
const CAPTURE_WORK = 150
const CLASS_WORK = 10
// V8 writes out what is repeated a few times, and compiles what lies within up to six times over.
const COPIES = 6

/** Puts doors into a pattern; undefined when V8 would take too long to compile it. `work` tells how long, and how much is to be kept. */
export function withDoors (parts: Part[]): { source: string, work: number } | undefined {
  const isReference = referencesIn(parts)
  const keepsCaptures = parts.some(({ text }) => isReference(text))
  const eachClass = parts.some(({ text }) => IGNORE_CASE.test(text)) ? 3 * CLASS_WORK : CLASS_WORK
  const groups: Array<{ isRepeated: boolean, copies: number }> = []
  let source = ''
  let work = 0
  let copies = 1
  const put = (text: string, textWork = 1): void => {
    source = text + source
    work += copies * textWork
  }

  // From the end, where a group says how often it is repeated.
  for (const { text, quantifier } of parts.toReversed()) {
    const isRepeated = quantifier !== ''
    if (isRepeated) put(quantifier)
    if (text === ')') {
      put(text)
      groups.push({ isRepeated, copies })
      if (/^[+{]/.test(quantifier)) copies = COPIES
    } else if (text.startsWith('(')) {
      const group = groups.pop() as typeof groups[number]
      if (group.isRepeated) put(DOOR, DOOR_WORK)
      copies = group.copies
      if (!CAPTURE.test(text)) put(text)
      else if (keepsCaptures) put(text, CAPTURE_WORK)
      else put('(?:')
      put(DOOR, DOOR_WORK)
    } else if (isRepeated && isReference(text)) {
      put(`(?:${DOOR}${text})`, DOOR_WORK)
      put(DOOR, DOOR_WORK)
    } else {
      // A class is sorted, by insertion.
      put(text, CLASS.test(text) ? eachClass + (text.length / 50) ** 2 : 1)
      if (isRepeated || text === '\\b' || text === '\\B') put(DOOR, DOOR_WORK)
    }
  }
  return work <= MAX_WORK ? { source, work } : undefined
}

/** `\2` is an octal escape where there is only one group, and `\k` a letter where none has a name. */
function referencesIn (parts: Part[]): (text: string) => boolean {
  const captures = parts.filter(({ text }) => CAPTURE.test(text))
  const areNamed = captures.some(({ text }) => text !== '(')
  return (text) => text.startsWith('\\k') ? areNamed : /^\\[1-9]/.test(text) && Number(text.slice(1)) <= captures.length
}
