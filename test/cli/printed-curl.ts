// The curl that `serve --demo` prints, read and done without one.

import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { sendCurl, urlOf } from '../curl.js'

interface Curl {
  /** Of the server, without the path. */
  origin: string
  /** With phone numbers in place of the printed one. */
  send: (phones?: string[]) => Promise<Response>
}

/** Reads the one line of a text that is to be pasted. */
export function readCurl (printed: string): Curl {
  const lines = printed.split('\n').filter((line) => line.startsWith('curl '))
  if (lines.length !== 1) throw new Error(`${lines.length} lines to paste`)
  const curl = lines[0]!
  return {
    origin: new URL(urlOf(curl)).origin,
    send: async (phones) => await sendCurl(phones === undefined ? curl : curl.replace(/"phones":\[[^\]]*\]/, `"phones":${JSON.stringify(phones)}`))
  }
}

/** Waits until a program prints it. */
export async function waitForCurl (stdout: Readable): Promise<Curl> {
  for await (const line of createInterface(stdout)) {
    if (line.startsWith('curl ')) return readCurl(line)
  }
  throw new Error('no curl was printed')
}
