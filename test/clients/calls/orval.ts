import axios, { AxiosError } from 'axios'
import { type Contact, type ErrorReply, type UpdateContactBody, updateContact } from './generated/orval.js'

const withToken = (token: string, headers: Record<string, string> = {}) => ({ headers: { 'X-User-Id': 'ann', 'X-Auth-Token': token, ...headers } })

/** Resolves to the response of a request that is refused. Axios rejects if the status is not 2xx. */
async function responseOfRefused (call: Promise<unknown>): Promise<{ status: number, data: ErrorReply }> {
  const error: unknown = await call.then(() => { throw new Error('It was not refused') }, (error: unknown) => error)
  if (error instanceof AxiosError && error.response !== undefined) return error.response
  throw error
}

export async function run (baseUrl: string): Promise<object> {
  axios.defaults.baseURL = baseUrl
  const updated = await updateContact(
    { contactId: 'maria', emails: ['new@example.com'], phones: null, wipeConflicts: true },
    withToken('token-of-ann', { 'If-Match': '*', 'Idempotency-Key': 'orval' }))
  const updateSuccess: true = updated.data.success
  const contact: Contact = updated.data.contact
  const sourceType: 'widget' | 'email' | 'sms' | 'app' | 'api' | 'other' | undefined = contact.channels[0]?.visitor.source.type

  // @ts-expect-error: `emails` must be a list
  const wrong = await responseOfRefused(updateContact({ contactId: 'maria', emails: 'a@b' }, withToken('token-of-ann')))
  const wrongSuccess: false = wrong.data.success
  const errorType: 'invalid-params' | undefined = wrong.data.errorType

  const wrongToken = await responseOfRefused(updateContact({ contactId: 'maria' }, withToken('wrong')))
  const status: 'error' | undefined = wrongToken.data.status
  return {
    update: {
      status: updated.status, success: updateSuccess, email: contact.emails[0]?.address, contactManager: contact.contactManager, sourceType
    },
    wrongBody: { status: wrong.status, success: wrongSuccess, errorType, error: wrong.data.error },
    wrongToken: { status: wrongToken.status, statusInBody: status, message: wrongToken.data.message }
  }
}

/** Is compiled, but never called. */
export async function mistakes (): Promise<void> {
  // @ts-expect-error: contactId is required
  void ({ name: 'Maria' } satisfies UpdateContactBody)
  // @ts-expect-error: other keys are refused
  void ({ contactId: 'maria', unknown: true } satisfies UpdateContactBody)
  const { data } = await updateContact({ contactId: 'maria' })
  // @ts-expect-error: the answer has nothing else
  void data.nothing
  // @ts-expect-error: nor has the error
  void ((error: ErrorReply) => error.nothing)
}
