// Parses and validates the body (docs/contract.md, sections 1 and 3), without the host's parsers and validator.

import { Ajv2020 } from 'ajv/dist/2020.js'
import type { FastifyInstance, FastifyRequest, preParsingHookHandler } from 'fastify'
import { isUtf8 } from 'node:buffer'
import querystring from 'node:querystring'
import type { Readable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { InvalidParamsError } from '../errors.js'
import { UpdateContactBody } from '../rules/wire-schemas.js'
import { uniqueItems } from './unique-items.js'

/** Many large bodies may arrive in one turn of the event loop. Parsing and validating all of them would block it. */
const maxBytesPerTurn = 128 * 1024
/** Smaller bodies do not count: they take less time than the rest of their requests. */
const minCountedBytes = 2048
let bytesInTurn = 0

/** Replaces all body parsers of the plugin's own context by ours, for JSON and for forms. */
export function addBodyParsers (app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  for (const [type, parse] of [['application/json', parseJson], ['application/x-www-form-urlencoded', parseForm]] as const) {
    app.addContentTypeParser(type, { parseAs: 'buffer' }, async (_request: FastifyRequest, bytes: Buffer): Promise<unknown> => {
      if (bytes.length >= minCountedBytes) await waitForTurn(bytes.length)
      return parse(bytes)
    })
  }
}

async function waitForTurn (bytes: number): Promise<void> {
  while (bytesInTurn > 0 && bytesInTurn + bytes > maxBytesPerTurn) await nextTurn()
  if (bytesInTurn === 0) setImmediate(() => { bytesInTurn = 0 })
  bytesInTurn += bytes
}

/** The errors of streams that bodies were read from. */
const readErrors = new WeakSet()

/** Whether a body could not be received, or not be decoded by a hook of the host's. */
export function isReadError (error: unknown): boolean {
  return readErrors.has(Object(error) as object)
}

const keepReadError = (error: unknown): void => { readErrors.add(Object(error) as object) }

/**
 * Listens for errors of a stream that a hook of the host's has made, for example to decompress the body. Fastify listens only after the
 * look-up of the caller, and stops early, such as at a 413. An error without a listener would end the process.
 */
export const watchBody: preParsingHookHandler = (request, _reply, payload, done) => {
  if (payload !== request.raw) payload.on('error', keepReadError)
  done()
}

/** Makes {} of a missing body, for which Fastify calls no parser. Refuses a compressed one, unless a hook of the host's has replaced the stream. */
export const prepareBody: preParsingHookHandler = (request, _reply, payload, done) => {
  request.body = {}
  if (payload !== request.raw) {
    // An onRoute hook of the host's may have added a hook that replaces the stream after `watchBody`.
    payload.on('error', keepReadError)
    return done((payload as Readable).errored)
  }
  const encodings = (request.headers['content-encoding'] ?? '').split(',')
  const isPlain = encodings.every((encoding) => ['', 'identity'].includes(encoding.trim().toLowerCase()))
  done(isPlain ? null : new InvalidParamsError('The content encoding is not supported: send the body uncompressed'))
}

function parseJson (bytes: Buffer): unknown {
  const text = decode(bytes)
  const json = text.startsWith('\uFEFF') ? text.slice(1) : text
  if (json.trim() === '') return {}
  try {
    return JSON.parse(replaceLoneSurrogates(json))
  } catch {
    throw new InvalidParamsError('The request body is not valid JSON')
  }
}

function parseForm (bytes: Buffer): unknown {
  // querystring replaces escapes that are not UTF-8, so check them first. In latin1 each byte is a character.
  const unescaped = bytes.toString('latin1').replace(/%([0-9a-f]{2})/gi, (_escape, hex: string) => String.fromCharCode(parseInt(hex, 16)))
  decode(Buffer.from(unescaped, 'latin1'))
  // URLSearchParams would garble characters beside a % that begins no escape, and drop a ? at the start. It is also slow.
  const form = querystring.parse(decode(bytes).replace(/%(?![0-9a-f]{2})/gi, '%25'), '&', '=', { maxKeys: 0 })
  return Object.fromEntries(Object.entries(form).map(([key, value]) => [key, Array.isArray(value) ? value.at(-1) : value]))
}

function decode (bytes: Buffer): string {
  if (!isUtf8(bytes)) throw new InvalidParamsError('The request body is not valid UTF-8')
  return bytes.toString()
}

// Matches an escaped pair of surrogates, a lone surrogate (the group), or any other escape. The last keeps the second backslash of \\ from
// starting a match.
const ESCAPE = /\\(?:u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|(u[dD][89a-fA-F][\da-fA-F]{2})|.)/g

/** Replaces lone surrogates by U+FFFD, in keys and values. Valid UTF-8 has no lone surrogates, so only escapes are searched. */
function replaceLoneSurrogates (json: string): string {
  return json.replace(ESCAPE, (escape, lone?: string) => lone === undefined ? escape : '\uFFFD')
}

// Rocket.Chat's settings. Coercion and the texts of errors depend on them.
const validate = new Ajv2020({ coerceTypes: true, removeAdditional: false, useDefaults: false, allErrors: false })
  .removeKeyword('uniqueItems')
  .addKeyword(uniqueItems)
  .compile(UpdateContactBody)

/** Coerces the values of a body in place. Returns the body, or the first error. */
export function validateBody (body: unknown): { value?: unknown, error?: Error } {
  if (validate(body)) return { value: body }
  return { error: new InvalidParamsError(String(validate.errors?.[0]?.message)) }
}
