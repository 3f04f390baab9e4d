// The bodies of requests and answers (docs/contract.md, sections 1, 4 and 7). Documentation pages show the descriptions. Editors show
// them too, because scripts/describe-types.js copies them into the published types.

import { Type, type SchemaOptions, type Static, type TSchema, type TUnsafe } from '@sinclair/typebox'
import { SOURCE_TYPES, type SourceType } from '../store/tables.js'

// With a union with null, Ajv's error texts would differ from the contract.
function Nullable<T extends TSchema> (schema: T): TUnsafe<Static<T> | null> {
  return Type.Unsafe<Static<T> | null>({ ...schema, nullable: true })
}

function UniqueTexts (description: string): TUnsafe<string[] | null> {
  return Nullable(Type.Array(Type.String(), { uniqueItems: true, description }))
}

// OpenAPI 3.0 has no `const`.
function Constant<Value extends string | boolean> (value: Value, options?: SchemaOptions): TUnsafe<Value> {
  return Type.Unsafe<Value>({ type: typeof value, enum: [value], ...options })
}

/** The body of a request. If a key is absent or null, that part of the contact stays as it is. */
export const UpdateContactBody = Type.Object({
  contactId: Type.String({ description: 'Id of the contact to update' }),
  name: Type.Optional(Type.String({ description: 'Stored verbatim, and copied to the rooms, subscriptions and inquiries of the contact' })),
  emails: Type.Optional(UniqueTexts('Replaces all e-mail addresses, verbatim and in this order')),
  phones: Type.Optional(UniqueTexts('Replaces all phone numbers, verbatim and in this order')),
  customFields: Type.Optional(Nullable(Type.Record(Type.String(), Type.Unknown(), {
    description: 'Replaces the values of all registered custom fields; a field that is left out is removed'
  }))),
  contactManager: Type.Optional(Nullable(Type.String({ description: 'User id of an agent; an empty string removes the manager' }))),
  wipeConflicts: Type.Optional(Nullable(Type.Boolean({ description: 'true empties conflictingFields' })))
}, { additionalProperties: false, title: 'UpdateContactBody' })
export type UpdateContactBody = Static<typeof UpdateContactBody>

// Some plugins validate answers with an Ajv that has no formats. It refuses a schema with `format: 'date-time'`.
function Time (description: string) {
  return Type.String({ pattern: '^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}\\.\\d{3}Z$', description: `${description}; UTC, with milliseconds` })
}

const LastChat = Type.Object({
  _id: Type.String({ description: 'Room id' }),
  ts: Time('When its last message came')
}, { description: 'The last conversation; absent when there was none' })

/** A channel through which a contact has written. */
export const ContactChannel = Type.Object({
  name: Type.String({ description: 'Name of the channel' }),
  visitor: Type.Object({
    visitorId: Type.String({ description: 'Visitor id' }),
    source: Type.Object({
      type: Type.Unsafe<SourceType>(Type.String({ enum: [...SOURCE_TYPES], description: 'Kind of the channel' })),
      id: Type.Optional(Type.String({ description: 'Which channel of this kind; absent if there is only one of the kind' }))
    }, { description: 'Where the visitor came from' })
  }, { description: 'Who the contact is on this channel' }),
  blocked: Type.Boolean({ description: 'true while messages of the visitor are refused' }),
  verified: Type.Boolean({ description: 'true once the visitor has proved to be the contact' }),
  details: Type.Object({ type: Type.String({ description: 'Kind of the channel' }) }, {
    additionalProperties: true,
    description: 'What the channel says about itself: its type, and any other keys'
  }),
  field: Type.Optional(Type.String({ description: 'What was verified, for example phone' })),
  value: Type.Optional(Type.String({ description: 'The value that was verified' })),
  verifiedAt: Type.Optional(Time('When it was verified')),
  lastChat: Type.Optional(LastChat)
}, { title: 'ContactChannel' })
export type ContactChannel = Static<typeof ContactChannel>

/** A contact as the API shows it. */
export const Contact = Type.Object({
  _id: Type.String({ description: 'Contact id' }),
  createdAt: Time('When the contact was made'),
  _updatedAt: Time('When it was last changed'),
  name: Type.String({ description: 'Name, verbatim' }),
  emails: Type.Array(Type.Object({ address: Type.String({ description: 'E-mail address, verbatim' }) }), { description: 'E-mail addresses, in order' }),
  phones: Type.Array(Type.Object({ phoneNumber: Type.String({ description: 'Phone number, verbatim' }) }), { description: 'Phone numbers, in order' }),
  channels: Type.Array(ContactChannel, { description: 'The channels through which the contact has written' }),
  customFields: Type.Record(Type.String(), Type.Unknown(), { description: 'Custom field id to value' }),
  unknown: Type.Boolean({ description: 'true until the contact is saved for the first time' }),
  preRegistration: Type.Boolean({ description: 'true for a contact that was made ahead of its first conversation' }),
  conflictingFields: Type.Array(Type.Object({
    field: Type.String({ description: 'name, manager or customFields.<id>' }),
    value: Type.String({ description: 'The other value that was found' })
  }), { description: 'Values that contradict the contact, found when contacts were merged' }),
  lastChat: Type.Optional(LastChat),
  contactManager: Type.Optional(Type.String({ description: 'User id; absent when there is none' }))
}, { title: 'Contact', description: 'A contact as the API shows it' })
export type Contact = Static<typeof Contact>

/** The answer to an update. */
export const UpdateContactReply = Type.Object({
  contact: Contact,
  success: Constant(true, { description: 'Distinguishes it from an ErrorReply' })
}, { title: 'UpdateContactReply' })
export type UpdateContactReply = Static<typeof UpdateContactReply>

/** The body of every answer but 200. A 401 also has `status` and `message`, and an invalid request has `errorType`. */
export const ErrorReply = Type.Object({
  success: Constant(false, { description: 'Distinguishes it from an UpdateContactReply' }),
  error: Type.String({ description: 'What is wrong. The text does not change between versions' }),
  errorType: Type.Optional(Constant('invalid-params', { description: 'If the body or a header has the wrong form' })),
  status: Type.Optional(Constant('error', { description: 'With 401 only' })),
  message: Type.Optional(Type.String({ description: 'With 401 only: the same as error' }))
}, { title: 'ErrorReply', description: 'Any answer other than 200. Nothing has changed' })
export type ErrorReply = Static<typeof ErrorReply>
