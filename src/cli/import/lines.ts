import { BadLineError } from './extended-json.js'

/** Some lines, and how many bytes were read for them. */
export interface Lines {
  lines: string[]
  bytes: number
}

/** Four times what MongoDB allows for a document, because type wrappers make it longer. */
export const longestLine = 64 * 1024 * 1024

/** The lines of a stream, as many at a time as arrive together. */
export async function * readLines (input: AsyncIterable<Uint8Array>): AsyncGenerator<Lines> {
  const decoder = new TextDecoder()
  let rest = ''
  let bytes = 0
  for await (const chunk of input) {
    bytes += chunk.length
    const text = decoder.decode(chunk, { stream: true })
    const end = text.lastIndexOf('\n')
    if (end === -1) {
      rest += text
      if (rest.length > longestLine) throw new BadLineError('The file holds a line that is too long: is it really JSON lines?')
      continue
    }
    yield { lines: (rest + text.slice(0, end)).split('\n'), bytes }
    rest = text.slice(end + 1)
    bytes = 0
  }
  rest += decoder.decode()
  if (rest !== '') yield { lines: [rest], bytes }
}
