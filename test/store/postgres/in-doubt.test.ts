// COMMIT or its answer is lost, and something happens that the explorer does not have: a trigger, several other updates, a request without a change.

import type { PoolClient } from 'pg'
import type { Test } from 'tap'
import { as, type Setup } from '../../helpers/test-server.js'
import type { Db } from '../../helpers/database.js'
import { postgres as t } from '../../helpers/engines.js'
import { observe, type Observed } from '../../helpers/observed-server.js'
import { backendThatWaits } from '../../helpers/postgres.js'
import { openProxy, type Injection } from '../explorer/proxy.js'

interface Faults extends Setup {
  /** What happens to the first COMMIT. */
  atCommit: 'cut-before' | 'cut-after'
  /** What another client does before the look-up of the outcome, which is the second transaction. */
  beforeLookUp?: (db: Db) => Promise<void>
}

/** A test server that loses the first COMMIT or its answer. */
async function start (t: Test, { atCommit, beforeLookUp, pool, ...setup }: Faults) {
  const proxy = await openProxy()
  t.teardown(proxy.close)
  const testServer = await observe(t, { pool: { host: proxy.host, ...pool }, ...setup })
  const injections: Injection[] = [{ at: /^COMMIT$/, fault: { do: atCommit } }]
  if (beforeLookUp !== undefined) {
    injections.push({ at: /^BEGIN/, skip: 1, fault: { do: 'run-before', run: async () => { await beforeLookUp(testServer.db) } } })
  }
  proxy.plan.begin(injections)
  return { ...testServer, unusedFaults: proxy.plan.unused }
}

/** The lines above the level warn. */
const errorsIn = (lines: Observed['lines']): string[] => lines.filter(({ level }) => level > 40).map((line) => JSON.stringify(line))

interface Answer {
  statusCode: number
  headers: Record<string, unknown>
}

for (const pipeline of [true, false]) {
  const how = pipeline ? '' : ', without pipelining'

  for (const addresses of [['second'], ['second', 'third']]) {
    t.test(`a lost COMMIT, and ${addresses.length} other updates in the same millisecond: each ETag is given once, no acknowledged update is lost${how}`, async (t) => {
      const others: Array<Promise<Answer>> = []
      const { update, db, lines, eventsAfterCommit, unusedFaults } = await start(t, {
        atCommit: 'cut-before',
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
      const acknowledged = [lost, ...await Promise.all(others)].filter(({ statusCode }) => statusCode === 200)
      clock.restore()
      const count = acknowledged.length
      t.strictSame(acknowledged.map(({ headers }) => headers.etag).sort(), acknowledged.map((_, index) => `"${index + 2}"`))
      t.match(await db.row("SELECT name, version FROM omnichannel_contact WHERE id = 'maria'"), {
        name: acknowledged.includes(lost) ? 'First' : 'Maria', version: count + 1
      })
      t.strictSame([eventsAfterCommit.length, new Set(eventsAfterCommit.map(({ updateId }) => updateId)).size, unusedFaults()], [count, count, []])
      // After two other updates, the lost one is in doubt.
      t.ok(count === addresses.length + 1 || (count === 2 && addresses.length === 2))
      t.match(errorsIn(lines), acknowledged.includes(lost) ? [] : [/FOC_IN_DOUBT/])
    })
  }

  for (const atCommit of ['cut-before', 'cut-after'] as const) {
    const what = atCommit === 'cut-before' ? 'COMMIT did not arrive' : 'the answer to COMMIT was cut off'

    t.test(`${what}, for a request that changes nothing: 200${how}`, async (t) => {
      const { update, db, unusedFaults } = await start(t, { atCommit, pool: { pipeline } })
      const reply = await update({ contactId: 'maria' })
      t.strictSame([reply.statusCode, reply.json().contact?.name, reply.headers.etag, unusedFaults()], [200, 'Maria', '"1"', []])
      t.strictSame(await db.row("SELECT name, version FROM omnichannel_contact WHERE id = 'maria'"), { name: 'Maria', version: 1 })
    })

    t.test(`${what}, for a request that changes nothing, and another update comes meanwhile: 200 with the new contact${how}`, async (t) => {
      const { update, unusedFaults } = await start(t, {
        atCommit,
        beforeLookUp: async (db) => {
          await db.exec("UPDATE omnichannel_contact SET name = 'Other', version = version + 1, update_id = 'other' WHERE id = 'maria'")
        },
        pool: { pipeline }
      })
      const reply = await update({ contactId: 'maria' })
      t.strictSame([reply.statusCode, reply.json().contact?.name, reply.headers.etag, unusedFaults()], [200, 'Other', '"2"', []])
    })

    t.test(`${what} that beforeCommit has sent and not awaited: the update is made once${how}`, async (t) => {
      const { update, db, lines, eventsAfterCommit, unusedFaults } = await start(t, {
        atCommit, pool: { pipeline },
        host: async (_app, { db }) => { await db.exec('CREATE TABLE journal (name text)') },
        beforeCommit: async ({ contact: { name } }, client: PoolClient) => {
          await client.query('INSERT INTO journal VALUES ($1)', [name])
          if (unusedFaults().length > 0) client.query('COMMIT').catch(() => undefined)
        }
      })
      const reply = await update({ contactId: 'maria', name: 'Marie' })
      t.strictSame([reply.statusCode, reply.headers.etag, eventsAfterCommit.length, errorsIn(lines), unusedFaults()], [200, '"2"', 1, [], []])
      t.strictSame(await db.rows('SELECT name, version FROM journal JOIN omnichannel_contact USING (name)'), [{ name: 'Marie', version: 2 }])
    })

    const triggers: Record<string, string> = {
      'sets updated_at': "NEW.updated_at := '2026-06-01'",
      'sets version': 'NEW.version := OLD.version + 10',
      'keeps version and updated_at': 'NEW.version := OLD.version; NEW.updated_at := OLD.updated_at'
    }
    for (const [effect, work] of Object.entries(triggers)) {
      t.test(`${what}, and a trigger ${effect}: the update is made once${how}`, async (t) => {
        const { update, db, lines, eventsAfterCommit, unusedFaults } = await start(t, { atCommit, pool: { pipeline } })
        await db.exec(`CREATE TABLE journal (name text);
          CREATE FUNCTION host_work() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${work}; INSERT INTO journal VALUES (NEW.name); RETURN NEW; END $$;
          CREATE TRIGGER host BEFORE UPDATE ON omnichannel_contact FOR EACH ROW EXECUTE FUNCTION host_work()`)
        const reply = await update({ contactId: 'maria', name: 'Marie' })
        t.strictSame([reply.statusCode, reply.json().contact?.name, eventsAfterCommit.length, errorsIn(lines), unusedFaults()], [200, 'Marie', 1, [], []])
        t.strictSame(await db.rows('SELECT name FROM journal'), [{ name: 'Marie' }])
        t.equal(reply.headers.etag, `"${await db.value("SELECT version FROM omnichannel_contact WHERE id = 'maria'")}"`)
      })
    }
  }

  for (const version of [1, 2]) {
    for (const hasKey of [false, true]) {
      t.test(`the answer to COMMIT was cut off, and the contact is made anew with version ${version}${hasKey ? ', key' : ''}: the new one is not updated${how}`, async (t) => {
        const { update, db, lines, eventsBeforeCommit, eventsAfterCommit, unusedFaults } = await start(t, {
          atCommit: 'cut-after',
          beforeLookUp: async (db) => {
            await db.exec(`DELETE FROM omnichannel_contact WHERE id = 'maria';
              INSERT INTO omnichannel_contact (id, name, version) VALUES ('maria', 'Anew', ${version})`)
          },
          pool: { pipeline }
        })
        const headers = { ...as('ann'), ...hasKey && { 'idempotency-key': 'key' } }
        const reply = await update({ contactId: 'maria', name: 'Marie' }, headers)
        t.strictSame([reply.statusCode, eventsBeforeCommit.length, eventsAfterCommit, unusedFaults()], [500, 1, [], []])
        t.match(errorsIn(lines), [/FOC_IN_DOUBT/])
        t.strictSame(await db.row("SELECT name, version FROM omnichannel_contact WHERE id = 'maria'"), { name: 'Anew', version })
      })
    }
  }
}
