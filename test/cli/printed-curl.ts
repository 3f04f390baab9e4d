// Reads the curl command that `serve --demo` prints, and sends its request without curl.

import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { sendCurl, urlOf } from '../curl.js'

interface Curl {
  /** The origin of the server. */
  origin: string
  /** Sends the request, with other phone numbers if they are given. */
  send: (phones?: string[]) => Promise<Response>
}

/** Finds the curl command in a text. There must be one. */
export function readCurl (printed: string): Curl {
  const lines = printed.split('\n').filter((line) => line.startsWith('curl '))
  if (lines.length !== 1) throw new Error(`${lines.length} lines to paste`)
  const curl = lines[0]!
  return {
    origin: new URL(urlOf(curl)).origin,
    send: async (phones) => await sendCurl(phones === undefined ? curl : curl.replace(/"phones":\[[^\]]*\]/, `"phones":${JSON.stringify(phones)}`))
  }
}

/** Waits until a program prints a curl command. */
export async function waitForCurl (stdout: Readable): Promise<Curl> {
  for await (const line of createInterface(stdout)) {
    if (line.startsWith('curl ')) return readCurl(line)
  }
  throw new Error('no curl was printed')
}
