// The contract's own reading of a body (test/contract.md, sections 1 and 3), whatever parsers and validator the host
// has set.

import { Ajv2020 } from 'ajv/dist/2020.js'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { InvalidParamsError } from '../errors.js'
import { UpdateContactBody } from '../rules/schemas.js'
import { uniqueItems } from './unique-items.js'

/** Gives a plugin's context parsers for JSON and for flat forms, and no others. */
export function addBodyParsers (app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, text, done) => {
    try {
      done(null, parseJson(text as string))
    } catch (error) {
      done(error as Error)
    }
  })
  app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_request, text, done) => {
    done(null, Object.fromEntries(new URLSearchParams(text as string)))
  })
}

/** A request without any body reaches no parser. It counts as {}. */
export function addEmptyBody (request: FastifyRequest, _reply: unknown, done: () => void): void {
  request.body ??= {}
  done()
}

function parseJson (text: string): unknown {
  const json = text.startsWith('\uFEFF') ? text.slice(1) : text
  if (json.trim() === '') return {}
  try {
    return JSON.parse(json)
  } catch {
    throw new InvalidParamsError('The request body is not valid JSON')
  }
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
