import { type Contact, type ErrorReply, type UpdateContactBody, updateContact } from './generated/hey-api/index.js'

/** The option `auth`: a function that returns the value of a header with credentials. */
const credentials = (token: string) => ({ name }: { name?: string }) => name === 'X-User-Id' ? 'ann' : token

export async function run (baseUrl: string): Promise<object> {
  const auth = credentials('token-of-ann')
  const updated = await updateContact({
    baseUrl, auth, headers: { 'If-Match': '*', 'Idempotency-Key': 'hey-api' },
    body: { contactId: 'maria', emails: ['new@example.com'], phones: null, wipeConflicts: true }
  })
  if (updated.error !== undefined) throw new Error(updated.error.error)
  const updateSuccess: true = updated.data.success
  const contact: Contact = updated.data.contact
  const sourceType: 'widget' | 'email' | 'sms' | 'app' | 'api' | 'other' | undefined = contact.channels[0]?.visitor.source.type

  // @ts-expect-error: `emails` must be a list
  const wrong = await updateContact({ baseUrl, auth, body: { contactId: 'maria', emails: 'a@b' } })
  const wrongSuccess: false | undefined = wrong.error?.success
  const errorType: 'invalid-params' | undefined = wrong.error?.errorType

  const wrongToken = await updateContact({ baseUrl, auth: credentials('wrong'), body: { contactId: 'maria' } })
  const error: ErrorReply | undefined = wrongToken.error
  return {
    update: {
      status: updated.response?.status, success: updateSuccess, email: contact.emails[0]?.address, contactManager: contact.contactManager, sourceType
    },
    wrongBody: { status: wrong.response?.status, success: wrongSuccess, errorType, error: wrong.error?.error },
    wrongToken: { status: wrongToken.response?.status, statusInBody: error?.status, message: error?.message }
  }
}

/** Is compiled, but never called. */
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
