// Describes the operation for @fastify/swagger, if the host has it. This is documentation only: body.ts validates.

import { Type, type TSchema } from '@sinclair/typebox'
import type { FastifySchema } from 'fastify'
import { ErrorReply, UpdateContactBody, UpdateContactReply } from '../rules/wire-schemas.js'
import { UPDATE_PERMISSION } from '../store/queries.js'

/**
 * FastifySchema lacks the members that @fastify/swagger adds, unless the host has that plugin.
 *
 * @param hasTokens whether callers are known by tokens in the database
 */
export function describeOperation (prefix: string, hasTokens: boolean): FastifySchema & Record<string, unknown> {
  return {
    operationId: nameOperation(prefix),
    summary: 'Update a contact',
    description: 'Changes the parts of a contact that are sent. A part whose key is absent or null stays as it is. ' +
      'An answer other than 200 means that nothing has changed. A request with only contactId reads the contact and its ETag, and writes ' +
      'nothing. A form (application/x-www-form-urlencoded) is read too. It has one text for each key, so lists and objects need JSON.',
    tags: ['Omnichannel'],
    // Generated clients send no Content-Type if there are several.
    consumes: ['application/json'],
    produces: ['application/json'],
    // A host with its own authenticate documents its own headers.
    headers: hasTokens ? Type.Composite([Credentials, Preconditions]) : Preconditions,
    body: { ...UpdateContactBody, 'x-examples': exampleBodies },
    response: {
      200: answer('The contact as it is now', UpdateContactReply, { updated: { contact: exampleContact, success: true } }, { ...ETag, ...Replayed }),
      400: refusal('The body or a header is wrong, or refers to something that does not exist', {
        'invalid body': "must have required property 'contactId' [invalid-params]",
        'contact not found': 'error-contact-not-found',
        'contact manager not found': 'error-contact-manager-not-found',
        'invalid custom field': 'Invalid value for Plan field',
        'unknown custom field': 'Custom field colour is not allowed',
        'name removed': 'error-invalid-operation',
        'invalid If-Match': 'Invalid If-Match header [invalid-params]',
        'invalid Idempotency-Key': 'Invalid Idempotency-Key header [invalid-params]',
        'refused by a hook of the server': 'error-duplicate-email'
      }),
      401: answer('The caller is not known', ErrorReply, {
        unauthorized: { success: false, error: unauthorized, status: 'error', message: unauthorized }
      }),
      403: refusal(`The caller lacks the permission ${UPDATE_PERMISSION}`, {
        forbidden: 'User does not have the permissions required for this action [error-unauthorized]'
      }),
      412: refusal('The contact has another version than If-Match says. ETag has the current version', {
        'version mismatch': 'error-contact-version-mismatch'
      }, ETag),
      413: refusal('The body is too large', { 'too large': 'The request body is larger than 262144 bytes [invalid-params]' }),
      422: refusal('The Idempotency-Key came with another request before', { 'key reused': 'error-idempotency-key-reused' }),
      429: refusal('A rate limit of the server refused the call', {
        'too many requests': 'Error, too many requests. Please slow down. ' +
          'You must wait 42 seconds before trying this endpoint again. [error-too-many-requests]'
      }, RetryAfter),
      500: refusal('Something unforeseen. Only the log of the server has the cause', { 'internal error': 'Internal server error' }),
      503: refusal('The database stayed locked for too long', { 'database busy': 'error-database-busy' }, RetryAfter)
    }
  }
}

/** Ids must be unique in a document. So each prefix is part of the id, except Rocket.Chat's own. */
function nameOperation (prefix: string): string {
  const path = prefix.replace(/\/$/, '')
  if (path === '/api/v1') return 'updateContact'
  // Each other character has a code of its own, so that no two prefixes have the same id.
  const code = (character: string): string => character === '/' ? '_' : `~${character.codePointAt(0)?.toString(16)}`
  return `updateContact${path === '' ? '_' : path.replace(/[^A-Za-z0-9-]/gu, code)}`
}

const Credentials = Type.Object({
  'X-User-Id': Type.String({ description: 'Id of the calling user', examples: ['ann'] }),
  'X-Auth-Token': Type.String({ description: "That user's token", examples: ['s3cret'] })
})

// The examples are in the descriptions: a documentation page would send a real example, and its entity tag would not match.
const Preconditions = Type.Object({
  'If-Match': Type.Optional(Type.String({
    description: 'Update only if the contact has this ETag, for example "7", or one of a list, "5", "7". * stands for any. Otherwise 412'
  })),
  'Idempotency-Key': Type.Optional(Type.String({
    description: 'A text of your own for this update, 1 to 255 visible ASCII characters, for example 8e03978e-40d5-43dd-bc93-6894a57f9324. ' +
      'If the same request is sent again with it, the update is made once, and the answer is the first one'
  }))
})

const ETag = { ETag: Type.String({ description: 'Version of the contact, for If-Match', pattern: '^"[0-9]+"$', example: '"7"' }) }

const Replayed = {
  'Idempotency-Replayed': Type.String({
    description: 'Only if this is the stored answer to an earlier request with the same Idempotency-Key', enum: ['true']
  })
}

const RetryAfter = { 'Retry-After': Type.String({ description: 'Seconds to wait', pattern: '^[0-9]+$' }) }

const unauthorized = 'You must be logged in to do this.'

/** An answer with errors, by the name of each example. */
function refusal (description: string, errors: Record<string, string>, headers?: Record<string, TSchema>): object {
  const examples = Object.entries(errors).map(([name, error]) =>
    [name, { success: false, error, ...error.endsWith('[invalid-params]') && { errorType: 'invalid-params' } }])
  return answer(description, ErrorReply, Object.fromEntries(examples) as Record<string, unknown>, headers)
}

function answer (description: string, schema: TSchema, examples: Record<string, unknown>, headers?: Record<string, TSchema>): object {
  const values = Object.fromEntries(Object.entries(examples).map(([name, value]) => [name, { value }]))
  return { description, ...headers && { headers }, content: { 'application/json': { schema, examples: values } } }
}

const exampleBodies = {
  'one thing changed': { value: { contactId: 'maria', phones: ['+49 30 901820'] } },
  'the whole form': {
    value: {
      contactId: 'maria',
      name: 'Maria Silva',
      emails: ['maria@example.com'],
      phones: ['+49 30 901820'],
      customFields: { plan: 'gold' },
      contactManager: 'ann',
      wipeConflicts: true
    }
  }
}

const lastChat = { _id: 'room-1', ts: '2026-01-31T09:15:00.000Z' }
const exampleContact = {
  _id: 'maria',
  createdAt: '2026-01-01T08:00:00.000Z',
  _updatedAt: '2026-01-31T09:20:00.000Z',
  name: 'Maria Silva',
  emails: [{ address: 'maria@example.com' }],
  phones: [{ phoneNumber: '+49 30 901820' }],
  channels: [{
    name: 'Live chat',
    visitor: { visitorId: 'visitor-1', source: { type: 'widget' } },
    blocked: false,
    verified: false,
    details: { type: 'widget', label: 'example.com' },
    lastChat
  }],
  customFields: { plan: 'gold' },
  unknown: false,
  preRegistration: false,
  conflictingFields: [],
  lastChat,
  contactManager: 'ann'
}
