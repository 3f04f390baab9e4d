import createClient from 'openapi-fetch'
import type { components, paths } from './generated/openapi-typescript.js'

const path = '/api/v1/omnichannel/contacts.update'
const client = (baseUrl: string, token: string) => createClient<paths>({ baseUrl, headers: { 'X-User-Id': 'ann', 'X-Auth-Token': token } })

export async function run (baseUrl: string): Promise<object> {
  const { POST } = client(baseUrl, 'token-of-ann')
  const updated = await POST(path, {
    params: { header: { 'If-Match': '*', 'Idempotency-Key': 'openapi-fetch' } },
    body: { contactId: 'maria', emails: ['new@example.com'], phones: null, wipeConflicts: true }
  })
  if (updated.error !== undefined) throw new Error(updated.error.error)
  const { success, contact } = updated.data
  const updateSuccess: true = success
  const contactOfType: components['schemas']['Contact'] = contact
  const sourceType: 'widget' | 'email' | 'sms' | 'app' | 'api' | 'other' | undefined = contactOfType.channels[0]?.visitor.source.type

  // @ts-expect-error: `emails` must be a list
  const wrong = await POST(path, { body: { contactId: 'maria', emails: 'a@b' } })
  const wrongSuccess: false | undefined = wrong.error?.success
  const errorType: 'invalid-params' | undefined = wrong.error?.errorType

  const wrongToken = await client(baseUrl, 'wrong').POST(path, { body: { contactId: 'maria' } })
  const status: 'error' | undefined = wrongToken.error?.status
  return {
    update: {
      status: updated.response.status, success: updateSuccess, email: contact.emails[0]?.address, contactManager: contact.contactManager, sourceType
    },
    wrongBody: { status: wrong.response.status, success: wrongSuccess, errorType, error: wrong.error?.error },
    wrongToken: { status: wrongToken.response.status, statusInBody: status, message: wrongToken.error?.message }
  }
}

/** Is compiled, but never called. */
export async function mistakes (): Promise<void> {
  const { POST } = client('', '')
  // @ts-expect-error: contactId is required
  await POST(path, { body: { name: 'Maria' } })
  // @ts-expect-error: a name cannot be null
  await POST(path, { body: { contactId: 'maria', name: null } })
  // @ts-expect-error: a key is a text
  await POST(path, { params: { header: { 'Idempotency-Key': 1 } }, body: { contactId: 'maria' } })
  // @ts-expect-error: other keys are refused
  void ({ contactId: 'maria', unknown: true } satisfies components['schemas']['UpdateContactBody'])
  const { data, error } = await POST(path, { body: { contactId: 'maria' } })
  // @ts-expect-error: the answer has nothing else
  void data?.nothing
  // @ts-expect-error: nor has the error
  void error?.nothing
  type Responses = paths[typeof path]['post']['responses']
  void ((updated: Responses[200]): string | undefined => updated.headers.ETag)
  void ((updated: Responses[200]): 'true' | undefined => updated.headers['Idempotency-Replayed'])
  void ((stale: Responses[412]): string | undefined => stale.headers.ETag)
  // @ts-expect-error: nothing has the status 404
  void ((gone: Responses[404]) => gone)
}
