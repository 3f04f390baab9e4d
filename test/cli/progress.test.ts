// The progress of an import or a backup. `advance` takes the lines and bytes that were read since the last call.

import { PassThrough } from 'node:stream'
import t, { type Test } from 'tap'
import { createProgress } from '../../src/cli/output.js'
import { replaceClock } from '../helpers/waiting.js'

/** A progress display with a clock that the test moves. */
function startProgress (t: Test, { isTTY, totalBytes }: { isTTY: boolean, totalBytes?: number | undefined }) {
  const stderr = Object.assign(new PassThrough({ encoding: 'utf8' }), { isTTY })
  let time = 0
  replaceClock(t, () => time)
  const progress = createProgress({ stderr }, 'contacts', { totalBytes })
  return { progress, wait: (ms: number) => { time += ms }, written: () => stderr.read() as string | null }
}

t.test('on a terminal: a line with percentage and rate, at most ten times a second, cleared at the end', async (t) => {
  const { progress, wait, written } = startProgress(t, { isTTY: true, totalBytes: 1000 })
  wait(50)
  progress.advance(10, 100)
  t.equal(written(), null)
  wait(50)
  progress.advance(15, 150)
  t.equal(written(), '\rcontacts: 25 % 25 lines, 250 lines/s\x1b[K')
  wait(100)
  progress.advance(75, 750)
  t.equal(written(), '\rcontacts: 100 % 100 lines, 500 lines/s\x1b[K')
  progress.clear()
  t.equal(written(), '\r\x1b[K')
  t.equal(progress.perSecond(), 500)
})

t.test('not on a terminal: a plain line every five seconds', async (t) => {
  const { progress, wait, written } = startProgress(t, { isTTY: false, totalBytes: 1000 })
  wait(4999)
  progress.advance(10, 100)
  t.equal(written(), null)
  wait(1)
  progress.advance(10, 100)
  t.equal(written(), 'contacts: 20 % 20 lines, 4 lines/s\n')
  progress.clear()
  t.equal(written(), null)
})

t.test('an input of unknown length: no percentage', async (t) => {
  const terminal = startProgress(t, { isTTY: true })
  terminal.wait(100)
  terminal.progress.advance(10, 100)
  t.equal(terminal.written(), '\rcontacts: 10 lines, 100 lines/s\x1b[K')
  const plain = startProgress(t, { isTTY: false })
  plain.wait(5000)
  plain.progress.advance(10, 100)
  t.equal(plain.written(), 'contacts: 10 lines, 2 lines/s\n')
})
