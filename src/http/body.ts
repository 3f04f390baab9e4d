// Reads and checks the body as the contract says (test/contract.md, sections 1 and 3). The host's parsers and validator are not asked.

import { Ajv2020 } from 'ajv/dist/2020.js'
import type { FastifyInstance, FastifyRequest, preParsingHookHandler } from 'fastify'
import { isUtf8 } from 'node:buffer'
import { InvalidParamsError } from '../errors.js'
import { UpdateContactBody } from '../rules/wire-schemas.js'
import { uniqueItems } from './unique-items.js'

/** Gives a plugin's context parsers for JSON and for flat forms, and no others. */
export function addBodyParsers (app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  addParser(app, 'application/json', parseJson)
  addParser(app, 'application/x-www-form-urlencoded', parseForm)
}

/** A request without any body reaches no parser. It counts as {}. */
export function addEmptyBody (request: FastifyRequest, _reply: unknown, done: () => void): void {
  if (request.body === undefined) request.body = {}
  done()
}

function addParser (app: FastifyInstance, type: string, parse: (bytes: Buffer) => unknown): void {
  app.addContentTypeParser(type, { parseAs: 'buffer' }, (_request, bytes, done) => {
    try {
      done(null, parse(bytes as Buffer))
    } catch (error) {
      done(error as Error)
    }
  })
}

/** Refuses a compressed body, unless a hook of the host's has put another stream in its place: then it is that hook's to decode. */
export const refuseContentEncoding: preParsingHookHandler = (request, _reply, payload, done) => {
  const encodings = (request.headers['content-encoding'] ?? '').split(',')
  const isPlain = payload !== request.raw || encodings.every((encoding) => ['', 'identity'].includes(encoding.trim().toLowerCase()))
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
  const unescaped = bytes.toString('latin1').replace(/%([0-9a-f]{2})/gi, (_escape, hex: string) => String.fromCharCode(parseInt(hex, 16)))
  decode(Buffer.from(unescaped, 'latin1'))
  return Object.fromEntries(new URLSearchParams(decode(bytes)))
}

function decode (bytes: Buffer): string {
  if (!isUtf8(bytes)) throw new InvalidParamsError('The request body is not valid UTF-8')
  return bytes.toString()
}

// Every escape is matched, so that the backslash of an escaped backslash begins none. A pair comes before its halves.
const ESCAPE = /\\(?:u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|(u[dD][89a-fA-F][\da-fA-F]{2})|.)/g

/** Makes U+FFFD of each lone surrogate, which UTF-8 text can only hold as an escape: keys and values at once, however deep. */
function replaceLoneSurrogates (json: string): string {
  return json.replace(ESCAPE, (escape, lone?: string) => lone === undefined ? escape : '\uFFFD')
}

// Rocket.Chat's settings; they decide what is coerced and the words of every message.
const validate = new Ajv2020({ coerceTypes: true, removeAdditional: false, useDefaults: false, allErrors: false })
  .removeKeyword('uniqueItems')
  .addKeyword(uniqueItems)
  .compile(UpdateContactBody)

/** Coerces a body in place, or says what is wrong with it first. */
export function validateBody (body: unknown): { value: unknown } | { error: Error } {
  if (validate(body)) return { value: body }
  return { error: new InvalidParamsError(String(validate.errors?.[0]?.message)) }
}
