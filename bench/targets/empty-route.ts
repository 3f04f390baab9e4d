// The baseline: the same route with no database behind it. It answers with what was sent.

import type { FastifyInstance } from 'fastify'
import type { Contact } from '../../src/index.js'
import { addRoute } from './route.js'

export function addEmptyRoute (app: FastifyInstance): void {
  const now = new Date().toISOString()
  addRoute(app, {
    findCaller: () => ({ hasPermission: true }),
    update: ({ contactId, name, emails, phones, customFields, contactManager }) => ({
      _id: contactId,
      createdAt: now,
      _updatedAt: now,
      name,
      emails: emails?.map((address) => ({ address })),
      phones: phones?.map((phoneNumber) => ({ phoneNumber })),
      channels: [],
      customFields,
      unknown: false,
      preRegistration: false,
      conflictingFields: [],
      contactManager
    }) as unknown as Contact
  })
}
