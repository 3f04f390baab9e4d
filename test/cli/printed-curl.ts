// Reads the curl command that `serve --demo` prints, and sends its request without curl. Also checks the documentation page of a server.

import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import type { Test } from 'tap'
import { sendCurl, urlOf } from '../helpers/curl.js'

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

/** Gets the documentation page and each of its files, compressed and plain. */
export async function checkDocumentationPage (t: Test, url: string): Promise<void> {
  const page = await (await fetch(`${url}/documentation`)).text()
  const files = [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, file]) => file!)
  t.ok(files.length >= 5)
  for (const file of files) {
    const [packed, plain] = await Promise.all(['gzip', 'identity'].map(async (encoding) =>
      await fetch(new URL(file, url), { headers: { 'accept-encoding': encoding } }))) as [Response, Response]
    t.strictSame([packed.status, plain.status, plain.headers.get('content-encoding')], [200, 200, null], file)
    const content = await plain.arrayBuffer()
    t.ok(content.byteLength > 100, file)
    t.strictSame(await packed.arrayBuffer(), content, file)
  }
  for (const file of ['none.js', '..%2f..%2fmain.js', '%00']) t.equal((await fetch(`${url}/documentation/static/${file}`)).status, 404, file)
}
