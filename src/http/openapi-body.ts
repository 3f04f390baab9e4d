// The body as documents show it, by what each content type can carry.

import { Type } from '@sinclair/typebox'
import { UpdateContactBody } from '../rules/schemas.js'
import { bodies, form } from './openapi-examples.js'

// A field that is left blank is sent all the same.
const Blank = Type.Optional(Type.String({ enum: [''], description: 'Left alone: a form has no lists and no objects, which need JSON' }))

const { contactId, name, contactManager, wipeConflicts } = UpdateContactBody.properties
// Examples of each field too: with these a documentation page fills its form in.
const UpdateContactForm = Type.Object({
  contactId: { ...contactId, examples: [form.contactId] },
  name: { ...name, examples: [form.name] },
  emails: Blank,
  phones: Blank,
  customFields: Blank,
  contactManager: { ...contactManager, nullable: false, examples: [form.contactManager] },
  wipeConflicts: { ...wipeConflicts, nullable: false, examples: [form.wipeConflicts] }
}, { additionalProperties: false, title: 'UpdateContactForm' })

/** For documents only: Fastify would pick a validator by the content type, and none for a request that has neither type nor body. */
export const bodyByContentType: object = {
  content: {
    'application/json': { schema: { ...UpdateContactBody, 'x-examples': bodies } },
    'application/x-www-form-urlencoded': { schema: { ...UpdateContactForm, 'x-examples': { 'the whole form': { value: form } } } }
  }
}
