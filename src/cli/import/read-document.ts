import { BadLineError, object, type Document } from './extended-json.js'
import type { Line } from './lines.js'

/**
 * The document of a line, its values still wrapped.
 *
 * @throws {BadLineError}
 */
export function readDocument (line: Line): Document {
  if (typeof line !== 'string') throw line
  // A byte order mark begins a file, and a line where two files were put together.
  const json = line.replace(/^\uFEFF/, '')
  if (json.startsWith('[')) throw new BadLineError('this is a JSON array and not JSON lines: export without --jsonArray')
  if (json.trimEnd() === '{') throw new BadLineError('this is a document over several lines: export without --pretty')
  return object(parse(json), 'the line')
}

function parse (json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    throw new BadLineError('this is not JSON')
  }
}
