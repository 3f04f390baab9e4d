// The answer to COMMIT is lost, together with what the explorer does not have: triggers, several other updates, requests without a change.

import type { Test } from 'tap'
import { as, type Setup } from '../../helpers/build.js'
import { postgres as t } from '../../helpers/engines.js'
import { observe, type Observed } from '../../helpers/observed.js'
import { backendThatWaits } from '../../helpers/postgres.js'
import { openProxy, type Fault } from '../explorer/proxy.js'

/** A test server in which `fault` happens to the first COMMIT. */
async function start (t: Test, fault: Fault['do'], { pool, ...setup }: Setup) {
  const proxy = await openProxy()
  t.teardown(proxy.close)
  const world = await observe(t, { pool: { host: proxy.host, ...pool }, ...setup })
  proxy.plan.begin([{ at: /^COMMIT$/, fault: { do: fault } as Fault }])
  return { ...world, left: proxy.plan.left, plan: proxy.plan }
}

const errorsIn = (lines: Observed['lines']): string[] => lines.filter(({ level }) => level > 40).map((line) => JSON.stringify(line))

interface Answer {
  statusCode: number
  headers: Record<string, unknown>
}

for (const pipeline of [true, false]) {
  const how = pipeline ? '' : ', without pipelining'

  for (const addresses of [['second'], ['second', 'third']]) {
    t.test(`the lost version is taken by ${addresses.length} others in the same millisecond: each tag is given once, no 200 is lost${how}`, async (t) => {
      const others: Array<Promise<Answer>> = []
      const { update, db, lines, notified, left } = await start(t, 'cut-before', {
        pool: { pipeline },
        beforeCommit: async ({ contact }) => {
          if (contact.name !== 'First' || others.length > 0) return
          others.push(...addresses.map(async (address) => await update({ contactId: 'maria', emails: [address] })))
          await backendThatWaits(db, addresses.length)
        }
      })
      const now = new Date().toISOString()
      const clock = t.intercept(Date.prototype, 'toISOString', { value: () => now })
      const lost: Answer = await update({ contactId: 'maria', name: 'First' })
      const done = [lost, ...await Promise.all(others)].filter(({ statusCode }) => statusCode === 200)
      clock.restore()
      t.strictSame(done.map(({ headers }) => headers.etag).sort(), done.map((_, index) => `"${index + 2}"`))
      t.match(await db.row("SELECT name, version FROM omnichannel_contact WHERE id = 'maria'"), {
        name: done.includes(lost) ? 'First' : 'Maria', version: done.length + 1
      })
      t.strictSame([notified.length, new Set(notified.map(({ updateId }) => updateId)).size, left()], [done.length, done.length, []])
      // After two other updates, the lost one is in doubt.
      t.ok(done.length === addresses.length + 1 || (done.length === 2 && addresses.length === 2))
      t.match(errorsIn(lines), done.includes(lost) ? [] : [/FOC_IN_DOUBT/])
    })
  }

  for (const fault of ['cut-before', 'cut-after'] as const) {
    const what = fault === 'cut-before' ? 'COMMIT did not arrive' : 'the answer to COMMIT was cut off'

    t.test(`${what}, for a request that changes nothing: 200${how}`, async (t) => {
      const { update, db, left } = await start(t, fault, { pool: { pipeline } })
      const reply = await update({ contactId: 'maria' })
      t.strictSame([reply.statusCode, reply.json().contact?.name, reply.headers.etag, left()], [200, 'Maria', '"1"', []])
      t.strictSame(await db.row("SELECT name, version FROM omnichannel_contact WHERE id = 'maria'"), { name: 'Maria', version: 1 })
    })

    t.test(`${what}, for a request that changes nothing, and another update comes meanwhile: 200${how}`, async (t) => {
      const { update, db, left, plan } = await start(t, fault, { pool: { pipeline } })
      const run = async (): Promise<void> => {
        await db.exec("UPDATE omnichannel_contact SET name = 'Other', version = version + 1, update_id = 'other' WHERE id = 'maria'")
      }
      plan.begin([{ at: /^COMMIT$/, fault: { do: fault } }, { at: /^BEGIN/, after: 1, fault: { do: 'meanwhile-before', run } }])
      const reply = await update({ contactId: 'maria' })
      t.strictSame([reply.statusCode, reply.json().contact?.name, reply.headers.etag, left()], [200, 'Other', '"2"', []])
    })

    const triggers: Record<string, string> = {
      updated_at: "NEW.updated_at := '2026-06-01'",
      version: 'NEW.version := OLD.version + 10',
      'version, which stays': 'NEW.version := OLD.version; NEW.updated_at := OLD.updated_at'
    }
    for (const [column, work] of Object.entries(triggers)) {
      t.test(`${what}, and a trigger sets ${column}: made once${how}`, async (t) => {
        const { update, db, lines, notified, left } = await start(t, fault, { pool: { pipeline } })
        await db.exec(`CREATE TABLE journal (name text);
          CREATE FUNCTION host_work() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${work}; INSERT INTO journal VALUES (NEW.name); RETURN NEW; END $$;
          CREATE TRIGGER host BEFORE UPDATE ON omnichannel_contact FOR EACH ROW EXECUTE FUNCTION host_work()`)
        const reply = await update({ contactId: 'maria', name: 'Marie' })
        t.strictSame([reply.statusCode, reply.json().contact?.name, notified.length, errorsIn(lines), left()], [200, 'Marie', 1, [], []])
        t.strictSame(await db.rows('SELECT name FROM journal'), [{ name: 'Marie' }])
        t.equal(reply.headers.etag, `"${await db.value("SELECT version FROM omnichannel_contact WHERE id = 'maria'")}"`)
      })
    }
  }

  for (const version of [1, 2]) {
    for (const key of [undefined, 'k']) {
      t.test(`the answer to COMMIT was cut off, and the contact is made anew with version ${version}${key === undefined ? '' : ', key'}: not done twice${how}`, async (t) => {
        const { update, db, lines, called, notified, left, plan } = await start(t, 'cut-after', { pool: { pipeline } })
        const run = async (): Promise<void> => {
          await db.exec(`DELETE FROM omnichannel_contact WHERE id = 'maria'; INSERT INTO omnichannel_contact (id, name, version) VALUES ('maria', 'Anew', ${version})`)
        }
        plan.begin([{ at: /^COMMIT$/, fault: { do: 'cut-after' } }, { at: /^BEGIN/, after: 1, fault: { do: 'meanwhile-before', run } }])
        const reply = await update({ contactId: 'maria', name: 'Marie' }, { ...as('ann'), ...key !== undefined && { 'idempotency-key': key } })
        t.strictSame([reply.statusCode, called.length, notified, left()], [500, 1, [], []])
        t.match(errorsIn(lines), [/FOC_IN_DOUBT/])
        t.strictSame(await db.row("SELECT name, version FROM omnichannel_contact WHERE id = 'maria'"), { name: 'Anew', version })
      })
    }
  }
}
