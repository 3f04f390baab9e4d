// The values that the check accepts and refuses, in single and in simultaneous updates.
//
//   npx tap --disable-coverage examples/duplicates.test.ts

import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { addDemoData, buildApp, findEmail, findPhone } from './duplicates.js'

interface TestApp {
  database: Database.Database
  /** Updates as ann and returns the status, and the error if there is one. */
  update: (payload: object) => Promise<[status: number, error?: string]>
}

async function openTestApp (t: Test): Promise<TestApp> {
  const database = new Database(':memory:')
  const app = await buildApp(database)
  t.teardown(async () => {
    await app.close()
    database.close()
  })
  addDemoData(database)
  database.exec(`
    INSERT INTO omnichannel_contact (id, name, enabled) VALUES ('gone', 'Gone', 0);
    INSERT INTO omnichannel_contact_email VALUES
      ('maria', 1, 'Info@example.com'), ('joao', 0, 'info@example.com'), ('gone', 0, 'gone@example.com');
    INSERT INTO omnichannel_contact_phone VALUES
      ('maria', 0, '+49 30 1'), ('maria', 1, '+49 30 9'), ('joao', 0, '+49 30 9'), ('gone', 0, '+49 30 2');
  `)
  return {
    database,
    update: async (payload) => {
      const headers = { 'x-user-id': 'ann', 'x-auth-token': 's3cret' }
      const reply = await app.inject({ method: 'POST', url: '/api/v1/omnichannel/contacts.update', headers, payload })
      return reply.statusCode === 200 ? [200] : [reply.statusCode, reply.json().error as string]
    }
  }
}

const takenEmail = [400, 'error-duplicate-email']
const takenPhone = [400, 'error-duplicate-phone']
const scenarios: Record<string, [change: object, answer: unknown[]]> = {
  'an address of another contact: refused': [{ emails: ['maria@example.com'] }, takenEmail],
  'the same address in another letter case: refused': [{ emails: ['info@example.com', 'MARIA@Example.com'] }, takenEmail],
  'a new address: stored': [{ emails: ['joao@example.com'] }, [200]],
  'an address of a contact that is not enabled: stored': [{ emails: ['gone@example.com'] }, [200]],
  'an old duplicate beside a new address: stored': [{ emails: ['joao@example.com', 'info@example.com'], phones: ['+49 30 9'] }, [200]],
  'an old duplicate in another letter case: stored': [{ emails: ['INFO@example.com'] }, [200]],
  'an old duplicate, and no list in the body: stored': [{ name: 'João B.' }, [200]],
  'one address twice on the same contact: stored': [{ emails: ['j@example.com', 'J@example.com'] }, [200]],
  'a phone number of another contact: refused': [{ phones: ['+49 30 1'] }, takenPhone],
  'a phone number of another contact, beside a new address: refused': [{ emails: ['joao@example.com'], phones: ['+49 30 1'] }, takenPhone],
  'a phone number of a contact that is not enabled: stored': [{ phones: ['+49 30 2', '+49 30 9'] }, [200]],
  'a phone number in another notation: another number, stored': [{ phones: ['+49301'] }, [200]]
}

for (const [name, [change, answer]] of Object.entries(scenarios)) {
  t.test(name, async (t) => {
    const { database, update } = await openTestApp(t)
    const rows = (): unknown[] => ['contact', 'contact_email', 'contact_phone'].map((table) =>
      database.prepare(`SELECT * FROM omnichannel_${table}`).all())
    const before = rows()
    t.strictSame(await update({ contactId: 'joao', ...change }), answer)
    if (answer[0] === 200) t.notSame(rows(), before)
    else t.strictSame(rows(), before)
  })
}

t.test('an old duplicate that is removed and added again: refused', async (t) => {
  const { update } = await openTestApp(t)
  t.strictSame(await update({ contactId: 'joao', emails: [], phones: [] }), [200])
  t.strictSame(await update({ contactId: 'joao', emails: ['info@example.com'] }), takenEmail)
  t.strictSame(await update({ contactId: 'joao', phones: ['+49 30 9'] }), takenPhone)
})

t.test('É and é: different addresses, as for lower() of SQLite', async (t) => {
  const { update } = await openTestApp(t)
  t.strictSame(await update({ contactId: 'maria', emails: ['é@example.com'] }), [200])
  t.strictSame(await update({ contactId: 'joao', emails: ['É@example.com'] }), [200])
  t.strictSame(await update({ contactId: 'joao', emails: ['é@EXAMPLE.com'] }), takenEmail, 'the previous address does not hide the duplicate')
})

for (const change of [{ emails: ['new@example.com'] }, { phones: ['+49 30 7'] }]) {
  const [field] = Object.keys(change) as [string]
  t.test(`fifty contacts get the same ${field} at once: one update is made, the others are refused`, async (t) => {
    const { database, update } = await openTestApp(t)
    const add = database.prepare("INSERT INTO omnichannel_contact (id, name) VALUES (?, '')")
    const contacts = Array.from({ length: 50 }, (_, index) => `c${index}`)
    for (const contactId of contacts) add.run(contactId)
    const answers = await Promise.all(contacts.map(async (contactId) => await update({ contactId, ...change })))
    const refused = field === 'emails' ? takenEmail : takenPhone
    t.equal(answers.filter(([status]) => status === 200).length, 1)
    t.equal(answers.filter((answer) => answer.join() === refused.join()).length, 49)
    const stored = database.prepare(`
      SELECT address FROM omnichannel_contact_email WHERE lower(address) = 'new@example.com' UNION ALL
      SELECT phone_number FROM omnichannel_contact_phone WHERE phone_number = '+49 30 7'`)
    t.equal(stored.all().length, 1)
    t.equal(database.prepare("SELECT count(*) FROM omnichannel_contact WHERE version = 2 AND id LIKE 'c%'").pluck().get(), 1)
  })
}

t.test('the look-ups of addresses and phone numbers: use an index', async (t) => {
  const { database } = await openTestApp(t)
  const plan = (sql: string): string => (database.prepare(`EXPLAIN QUERY PLAN ${sql}`).all('x', 'y') as Array<{ detail: string }>)
    .map(({ detail }) => detail).join('; ')
  t.match(plan(findEmail), /^SEARCH omnichannel_contact_email USING .*contact_email_folded .*; SEARCH \w+ USING PRIMARY KEY/)
  t.match(plan(findPhone), /^SEARCH omnichannel_contact_phone USING .*omnichannel_contact_phone_number .*; SEARCH \w+ USING PRIMARY KEY/)
})
