export const bodies = {
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
export const contact = {
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
