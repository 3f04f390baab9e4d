// The shapes of the contract. `nullable` and not a union with null: Ajv's error texts are part of the contract.

import { Type, type Static, type TSchema, type TUnsafe } from '@sinclair/typebox'

function Nullable<T extends TSchema> (schema: T): TUnsafe<Static<T> | null> {
  return Type.Unsafe<Static<T> | null>({ ...schema, nullable: true })
}

/** The body of the request. A key that is absent or null leaves that part of the contact alone. */
export const UpdateContactBody = Type.Object({
  contactId: Type.String({ description: 'Id of the contact to update' }),
  name: Type.Optional(Type.String({
    description: 'Stored verbatim, and carried to the rooms, subscriptions and inquiries of the contact'
  })),
  emails: Type.Optional(Nullable(Type.Array(Type.String(), {
    uniqueItems: true,
    description: 'Replaces all e-mail addresses, verbatim and in this order'
  }))),
  phones: Type.Optional(Nullable(Type.Array(Type.String(), {
    uniqueItems: true,
    description: 'Replaces all phone numbers, verbatim and in this order'
  }))),
  customFields: Type.Optional(Nullable(Type.Record(Type.String(), Type.Unknown(), {
    description: 'Replaces the values of all registered custom fields; a field that is left out is removed'
  }))),
  contactManager: Type.Optional(Nullable(Type.String({
    description: 'User id of an agent; an empty string removes the manager'
  }))),
  wipeConflicts: Type.Optional(Nullable(Type.Boolean({ description: 'true empties conflictingFields' })))
}, { additionalProperties: false, title: 'UpdateContactBody' })
export type UpdateContactBody = Static<typeof UpdateContactBody>

const Time = Type.String({ format: 'date-time', description: 'UTC, with milliseconds' })

const LastChat = Type.Object({ _id: Type.String({ description: 'Room id' }), ts: Time })

/** One way through which a contact has written. */
export const ContactChannel = Type.Object({
  name: Type.String(),
  visitor: Type.Object({
    visitorId: Type.String(),
    source: Type.Object({
      type: Type.Unsafe<'widget' | 'email' | 'sms' | 'app' | 'api' | 'other'>(
        Type.String({ enum: ['widget', 'email', 'sms', 'app', 'api', 'other'] })),
      id: Type.Optional(Type.String())
    })
  }),
  blocked: Type.Boolean(),
  verified: Type.Boolean(),
  details: Type.Object({ type: Type.String() }, { additionalProperties: true }),
  field: Type.Optional(Type.String()),
  value: Type.Optional(Type.String()),
  verifiedAt: Type.Optional(Time),
  lastChat: Type.Optional(LastChat)
}, { title: 'ContactChannel' })
export type ContactChannel = Static<typeof ContactChannel>

/** A contact as the API shows it. */
export const Contact = Type.Object({
  _id: Type.String(),
  createdAt: Time,
  _updatedAt: Time,
  name: Type.String(),
  emails: Type.Array(Type.Object({ address: Type.String() })),
  phones: Type.Array(Type.Object({ phoneNumber: Type.String() })),
  channels: Type.Array(ContactChannel),
  customFields: Type.Record(Type.String(), Type.Unknown()),
  unknown: Type.Boolean({ description: 'true until the contact is saved for the first time' }),
  preRegistration: Type.Boolean(),
  conflictingFields: Type.Array(Type.Object({
    field: Type.String({ description: 'name, manager or customFields.<id>' }),
    value: Type.String()
  })),
  lastChat: Type.Optional(LastChat),
  contactManager: Type.Optional(Type.String({ description: 'User id; absent when there is none' }))
}, { title: 'Contact' })
export type Contact = Static<typeof Contact>

/** The answer to an update. */
export const UpdateContactReply = Type.Object({
  contact: Contact,
  success: Type.Literal(true)
}, { title: 'UpdateContactReply' })
export type UpdateContactReply = Static<typeof UpdateContactReply>

/** Every answer but 200; 401 has `status` and `message` too, a body of the wrong shape has `errorType`. */
export const ErrorReply = Type.Object({
  success: Type.Literal(false),
  error: Type.String(),
  errorType: Type.Optional(Type.Literal('invalid-params')),
  status: Type.Optional(Type.Literal('error')),
  message: Type.Optional(Type.String())
}, { title: 'ErrorReply' })
export type ErrorReply = Static<typeof ErrorReply>
