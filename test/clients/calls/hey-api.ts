import { type Contact, type ErrorReply, type UpdateContactBody, updateContact } from './generated/hey-api/index.js'

const as = (token: string) => ({ name }: { name?: string }) => name === 'X-User-Id' ? 'ann' : token

export async function run (baseUrl: string): Promise<unknown[]> {
  const auth = as('token-of-ann')
  const done = await updateContact({
    baseUrl, auth, headers: { 'If-Match': '*', 'Idempotency-Key': 'hey-api' },
    body: { contactId: 'maria', emails: ['new@example.com'], phones: null, wipeConflicts: true }
  })
  if (done.error !== undefined) throw new Error(done.error.error)
  const always: true = done.data.success
  const contact: Contact = done.data.contact
  const type: 'widget' | 'email' | 'sms' | 'app' | 'api' | 'other' | undefined = contact.channels[0]?.visitor.source.type

  // @ts-expect-error: a list is no text
  const wrong = await updateContact({ baseUrl, auth, body: { contactId: 'maria', emails: 'a@b' } })
  const failed: false | undefined = wrong.error?.success
  const kind: 'invalid-params' | undefined = wrong.error?.errorType

  const stranger = await updateContact({ baseUrl, auth: as('wrong'), body: { contactId: 'maria' } })
  const error: ErrorReply | undefined = stranger.error
  return [
    done.response?.status, always, contact.emails[0]?.address, contact.contactManager, type,
    wrong.response?.status, failed, kind, wrong.error?.error, stranger.response?.status, error?.status, error?.message
  ]
}

export async function mistakes (): Promise<void> {
  // @ts-expect-error: contactId is required
  void ({ name: 'Maria' } satisfies UpdateContactBody)
  // @ts-expect-error: other keys are refused
  void ({ contactId: 'maria', unknown: true } satisfies UpdateContactBody)
  const { data, error } = await updateContact({ body: { contactId: 'maria' } })
  // @ts-expect-error: the answer has nothing else
  void data?.nothing
  // @ts-expect-error: nor has the error
  void error?.nothing
}
