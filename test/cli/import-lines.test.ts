// How the chunks of an input are split into lines.

import t from 'tap'
import { maxLineBytes, readLines, type Line } from '../../src/cli/import/read-lines.js'

/** The lines in some chunks. A line that cannot be read is its error message in parentheses. */
async function linesIn (chunks: Iterable<Buffer>): Promise<string[]> {
  const lines: Line[] = []
  for await (const batch of readLines((async function * () { yield * chunks })())) lines.push(...batch.lines)
  return lines.map((line) => typeof line === 'string' ? line : `(${line.message})`)
}

function * inPieces (bytes: Buffer, size: number): Generator<Buffer> {
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size)
}

const notUtf8 = '(this is not UTF-8)'
const scenarios: Array<[name: string, bytes: Buffer, lines: string[]]> = [
  ['nothing', Buffer.from(''), []],
  ['one line without an end', Buffer.from('letzte'), ['letzte']],
  ['empty lines', Buffer.from('\n\na\n\n'), ['', '', 'a', '']],
  ['characters of several bytes', Buffer.from('erste Zeile é\n\nzweite 漢字 😀\nletzte'), ['erste Zeile é', '', 'zweite 漢字 😀', 'letzte']],
  ['Latin 1', Buffer.from('a\né\nb\né', 'latin1'), ['a', notUtf8, 'b', notUtf8]],
  ['half a character at the end of a line', Buffer.from([0x61, 0xC3, 0x0A, 0xA9, 0x0A, 0x62]), [notUtf8, notUtf8, 'b']],
  ['UTF-16', Buffer.from('\uFEFFa\nb', 'utf16le'), [notUtf8, '\0b\0']]
]

t.test('chunks of any size: the same lines', async (t) => {
  for (const [name, bytes, lines] of scenarios) {
    for (const size of [1, 2, 3, 7, 100]) t.strictSame(await linesIn(inPieces(bytes, size)), lines, `${name}, in chunks of ${size}`)
  }
})

const tooLong = '(this is a line that is too long, of more than 64 MiB: is it really JSON lines?)'
const longest = Buffer.alloc(maxLineBytes, 'x')
const oneMegabyte = Buffer.alloc(1024 * 1024, 'x')

t.test('a line that is too long: an error in its place, and the other lines', async (t) => {
  const lines = [Buffer.from('a'), Buffer.concat([longest, oneMegabyte]), Buffer.from('b'), longest, Buffer.from('c'), Buffer.concat([longest, Buffer.from('yz')])]
  const bytes = Buffer.concat(lines.flatMap((line, index) => index === 0 ? [line] : [Buffer.from('\n'), line]))
  for (const size of [256 * 1024, 100 * 1024 * 1024, bytes.length]) {
    const read = await linesIn(inPieces(bytes, size))
    t.strictSame(read.map((line) => line.length === maxLineBytes ? '(the longest)' : line),
      ['a', tooLong, 'b', '(the longest)', 'c', tooLong], `in chunks of ${size}`)
  }
})

t.test('an endless line: the error comes at once, and no more is kept in memory', async (t) => {
  const endless = async function * () { for (;;) yield Buffer.alloc(maxLineBytes / 4, 'x') }
  let read = 0
  for await (const { lines, bytes } of readLines(endless())) {
    read += bytes
    if (lines.length === 0) continue
    t.strictSame(lines.map((line) => (line as Error).message), [tooLong.slice(1, -1)])
    break
  }
  t.equal(read, maxLineBytes * 1.25)
})
