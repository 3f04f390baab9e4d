// The curl that `serve --demo` prints, read and done without one.

import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'

interface Curl {
  /** Of the server, without the path. */
  origin: string
  send: () => Promise<Response>
}

/** Reads the one line of a text that is to be pasted. */
export function readCurl (printed: string): Curl {
  const lines = printed.split('\n').filter((line) => line.startsWith('curl '))
  if (lines.length !== 1) throw new Error(`${lines.length} lines to paste`)
  const words = (lines[0]!.match(/'[^']*'|[^\s']+/g) ?? []).map((word) => word.replace(/^'|'$/g, ''))
  const after = (flag: string) => words.flatMap((word, i) => word === flag ? [words[i + 1]!] : [])
  const url = words.find((word) => word.startsWith('http://'))!
  return {
    origin: new URL(url).origin,
    send: async () => await fetch(url, {
      method: after('-X')[0]!, headers: after('-H').map((header) => header.split(': ') as [string, string]), body: after('-d')[0]!
    })
  }
}

/** Waits until a program prints it. */
export async function waitForCurl (stdout: Readable): Promise<Curl> {
  for await (const line of createInterface(stdout)) {
    if (line.startsWith('curl ')) return readCurl(line)
  }
  throw new Error('no curl was printed')
}
