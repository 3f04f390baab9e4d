import axios, { AxiosError } from 'axios'
import { type Contact, type ErrorReply, type UpdateContactBody, updateContact } from './generated/orval.js'

const as = (token: string, more: Record<string, string> = {}) => ({ headers: { 'X-User-Id': 'ann', 'X-Auth-Token': token, ...more } })

/** Axios rejects when the status is not 2xx. */
async function refused (call: Promise<unknown>): Promise<{ status: number, data: ErrorReply }> {
  const error: unknown = await call.then(() => { throw new Error('It was not refused') }, (error: unknown) => error)
  if (error instanceof AxiosError && error.response !== undefined) return error.response
  throw error
}

export async function run (baseUrl: string): Promise<unknown[]> {
  axios.defaults.baseURL = baseUrl
  const ann = as('token-of-ann')
  const updated = await updateContact(
    { contactId: 'maria', emails: ['new@example.com'], phones: null, wipeConflicts: true }, as('token-of-ann', { 'If-Match': '*', 'Idempotency-Key': 'orval' }))
  const always: true = updated.data.success
  const contact: Contact = updated.data.contact
  const type: 'widget' | 'email' | 'sms' | 'app' | 'api' | 'other' | undefined = contact.channels[0]?.visitor.source.type

  // @ts-expect-error: `emails` must be a list
  const wrong = await refused(updateContact({ contactId: 'maria', emails: 'a@b' }, ann))
  const failed: false = wrong.data.success
  const kind: 'invalid-params' | undefined = wrong.data.errorType

  const wrongToken = await refused(updateContact({ contactId: 'maria' }, as('wrong')))
  const status: 'error' | undefined = wrongToken.data.status
  return [
    updated.status, always, contact.emails[0]?.address, contact.contactManager, type,
    wrong.status, failed, kind, wrong.data.error, wrongToken.status, status, wrongToken.data.message
  ]
}

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
