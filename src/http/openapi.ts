// The operation as @fastify/swagger describes it, for a host that has it. Documentation only: a body is judged by
// body.ts, a caller by identity.ts, and what is answered is written by replies.ts.

import { Type, type TSchema } from '@sinclair/typebox'
import type { FastifySchema } from 'fastify'
import { ErrorReply, UpdateContactBody, UpdateContactReply } from '../rules/wire-schemas.js'
import { bodies, contact } from './openapi-examples.js'

/** What @fastify/swagger's augmentation adds to FastifySchema, which only hosts that have it can see. */
interface Operation extends FastifySchema {
  operationId: string
  summary: string
  description: string
  tags: string[]
  consumes: string[]
  produces: string[]
}

/** Describes the route under `prefix`; `hasTokens` where callers are known by the tokens in the database. */
export function describeOperation (prefix: string, hasTokens: boolean): Operation {
  return {
    operationId: nameOperation(prefix),
    summary: 'Update a contact',
    description: 'Changes the parts of a contact that are sent; a key that is absent or null leaves its part alone. All or nothing: ' +
      'whatever is not answered with 200 has changed nothing. A request with only contactId reads the contact and its ETag without ' +
      'writing. A form (application/x-www-form-urlencoded) is read too: it carries one text for each key, so lists and objects need JSON.',
    tags: ['Omnichannel'],
    // Only one: a client that is generated from a document with several names none.
    consumes: ['application/json'],
    produces: ['application/json'],
    // A host with its own authenticate knows callers by other means; its document names them.
    headers: hasTokens ? Type.Composite([Credentials, Preconditions]) : Preconditions,
    body: { ...UpdateContactBody, 'x-examples': bodies },
    response: {
      200: answer('The contact as it is now', UpdateContactReply, { updated: { contact, success: true } }, { ...ETag, ...Replayed }),
      400: answer('The body, or something it names, is wrong', ErrorReply, {
        'not the shape of the contract': {
          success: false, error: "must have required property 'contactId' [invalid-params]", errorType: 'invalid-params'
        },
        'contact not found': { success: false, error: 'error-contact-not-found' },
        'contact manager not found': { success: false, error: 'error-contact-manager-not-found' },
        'invalid custom field': { success: false, error: 'Invalid value for Plan field' },
        'unknown custom field': { success: false, error: 'Custom field colour is not allowed' },
        'name taken away': { success: false, error: 'error-invalid-operation' },
        'no list of entity tags': { success: false, error: 'Invalid If-Match header [invalid-params]', errorType: 'invalid-params' },
        'no key': { success: false, error: 'Invalid Idempotency-Key header [invalid-params]', errorType: 'invalid-params' },
        'refused by the server, in words of its own': { success: false, error: 'error-duplicate-email' }
      }),
      401: answer('The caller is not known', ErrorReply, {
        unauthorized: {
          success: false,
          error: 'You must be logged in to do this.',
          status: 'error',
          message: 'You must be logged in to do this.'
        }
      }),
      403: answer('The caller lacks the permission update-livechat-contact', ErrorReply, {
        forbidden: { success: false, error: 'User does not have the permissions required for this action [error-unauthorized]' }
      }),
      412: answer('The contact is no longer the one that If-Match names; ETag is its current one', ErrorReply, {
        'version mismatch': { success: false, error: 'error-contact-version-mismatch' }
      }, ETag),
      413: answer('The body is too large', ErrorReply, {
        'too large': {
          success: false, error: 'The request body is larger than 262144 bytes [invalid-params]', errorType: 'invalid-params'
        }
      }),
      422: answer('The Idempotency-Key came with another request before', ErrorReply, {
        'key reused': { success: false, error: 'error-idempotency-key-reused' }
      }),
      429: answer('A rate limit of the server says no', ErrorReply, {
        'too many requests': {
          success: false,
          error: 'Error, too many requests. Please slow down. ' +
            'You must wait 42 seconds before trying this endpoint again. [error-too-many-requests]'
        }
      }, RetryAfter),
      500: answer('Something unforeseen, named in the log of the server only', ErrorReply, {
        'internal error': { success: false, error: 'Internal server error' }
      }),
      503: answer('The database stayed locked for too long', ErrorReply, {
        'database busy': { success: false, error: 'error-database-busy' }
      }, RetryAfter)
    }
  }
}

/** `updateContact` where Rocket.Chat has it; another prefix gives another id, so that several registrations can stand in one document. */
function nameOperation (prefix: string): string {
  const path = prefix.replace(/\/$/, '')
  if (path === '/api/v1') return 'updateContact'
  // Each character that means something else has a code of its own, so that no two prefixes share an id.
  const code = (character: string): string => character === '/' ? '_' : `~${character.codePointAt(0)?.toString(16)}`
  return `updateContact${path === '' ? '_' : path.replace(/[^A-Za-z0-9-]/gu, code)}`
}

const Credentials = Type.Object({
  'X-User-Id': Type.String({ description: 'Id of the calling user', examples: ['ann'] }),
  'X-Auth-Token': Type.String({ description: "That user's token", examples: ['s3cret'] })
})

// Their examples stand in the words: a documentation page fills an example in, and would send a tag that is stale.
const Preconditions = Type.Object({
  'If-Match': Type.Optional(Type.String({
    description: 'Update only while the ETag of the contact is this one, for example "7", or one of a list, "5", "7"; * stands for any. Otherwise 412'
  })),
  'Idempotency-Key': Type.Optional(Type.String({
    description: 'A text of your own for this update, 1 to 255 visible ASCII characters, for example 8e03978e-40d5-43dd-bc93-6894a57f9324. ' +
      'Sent again with the same request, the update is done once and the answer is the first one'
  }))
})

const ETag = { ETag: Type.String({ description: 'Version of the contact, for If-Match', pattern: '^"[0-9]+"$', example: '"7"' }) }

const Replayed = {
  'Idempotency-Replayed': Type.String({
    description: 'Only where the answer is that of an earlier request with the same Idempotency-Key', enum: ['true']
  })
}

const RetryAfter = { 'Retry-After': Type.String({ description: 'Seconds to wait', pattern: '^[0-9]+$' }) }

function answer (description: string, schema: TSchema, examples: Record<string, unknown>, headers?: Record<string, TSchema>): object {
  return {
    description,
    ...headers && { headers },
    content: {
      'application/json': {
        schema,
        examples: Object.fromEntries(Object.entries(examples).map(([name, value]) => [name, { value }]))
      }
    }
  }
}
