// Triggers and rules of the host on PostgreSQL.

import { UpdateRefusedError } from '../../../src/index.js'
import { allRows, build, changes } from '../../helpers/test-server.js'
import { postgres as t } from '../../helpers/engines.js'
import { observe } from '../../helpers/observed-server.js'
import { internalServerError } from '../../helpers/refusals.js'
import { body, checkMadeOnce, checkRefused } from '../triggers.js'

/** SQL that creates a trigger. `work` is PL/pgSQL. A constraint trigger runs at COMMIT. */
function trigger (table: string, when: string, work: string, kind: 'CONSTRAINT' | '' = ''): string {
  return `CREATE FUNCTION host_work() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${work} RETURN NEW; END $$;
    CREATE ${kind} TRIGGER host ${when} ON omnichannel_${table} ${kind === '' ? '' : 'DEFERRABLE INITIALLY DEFERRED'} FOR EACH ROW EXECUTE FUNCTION host_work()`
}

/** Triggers and rules that add to an update. */
const harmless: Record<string, string> = {
  'sets updated_at': trigger('contact', 'BEFORE UPDATE', "NEW.updated_at := '2026-06-01';"),
  'sets version': trigger('contact', 'BEFORE UPDATE', 'NEW.version := OLD.version + 10;'),
  'sets neither version nor updated_at on': trigger('contact', 'BEFORE UPDATE', 'NEW.version := OLD.version; NEW.updated_at := OLD.updated_at;'),
  'sets version afterwards': trigger('contact', 'AFTER UPDATE',
    'IF pg_trigger_depth() = 1 THEN UPDATE omnichannel_contact SET version = version + 5, updated_at = now() WHERE id = NEW.id; END IF;'),
  'sets them at COMMIT': trigger('contact', 'AFTER UPDATE',
    'UPDATE omnichannel_contact SET version = version + 5, updated_at = now() WHERE id = NEW.id AND version < 5;', 'CONSTRAINT'),
  'counts in a column of its own': `ALTER TABLE omnichannel_contact ADD COLUMN touched integer NOT NULL DEFAULT 0;
    ${trigger('contact', 'BEFORE UPDATE', 'NEW.touched := OLD.touched + 1;')}`,
  'sends a message to listeners': trigger('contact', 'AFTER UPDATE', "PERFORM pg_notify('contacts', NEW.id);"),
  ...Object.fromEntries(['DEBUG', 'LOG', 'INFO', 'NOTICE', 'WARNING'].flatMap((level) => [
    [`raises a ${level}`, trigger('contact', 'BEFORE UPDATE', `RAISE ${level} 'of the host';`)],
    [`raises a ${level} at COMMIT`, trigger('contact', 'AFTER UPDATE', `RAISE ${level} 'of the host';`, 'CONSTRAINT')]
  ])),
  'raises the WARNING of a replica that is late': trigger('contact', 'AFTER UPDATE',
    "RAISE WARNING 'canceling wait for synchronous replication due to user request' USING ERRCODE = '01000';", 'CONSTRAINT'),
  'is a rule that adds to the update of the contact': `CREATE TABLE journal (name text);
    CREATE RULE host AS ON UPDATE TO omnichannel_contact DO ALSO INSERT INTO journal VALUES (NEW.name)`,
  'is a rule that adds to the update of some contacts': `CREATE TABLE journal (name text);
    CREATE RULE host AS ON UPDATE TO omnichannel_contact WHERE OLD.name <> NEW.name DO ALSO INSERT INTO journal VALUES (NEW.name)`,
  'is a rule that adds to the deletion of e-mails': `CREATE TABLE journal (name text);
    CREATE RULE host AS ON DELETE TO omnichannel_contact_email DO ALSO INSERT INTO journal VALUES (OLD.address)`,
  'writes for each e-mail': trigger('contact_email', 'AFTER INSERT OR UPDATE', "INSERT INTO omnichannel_statistic VALUES ('host', 1) ON CONFLICT DO NOTHING;")
}
const dropRow = 'RETURN NULL;'
/** Triggers and rules that drop or revert a part of an update. */
const harmful: Record<string, string> = {
  'a trigger that drops the update of the contact': trigger('contact', 'BEFORE UPDATE', dropRow),
  'a trigger that reverts the contact afterwards': trigger('contact', 'AFTER UPDATE',
    'IF pg_trigger_depth() = 1 THEN UPDATE omnichannel_contact SET name = OLD.name, version = OLD.version, update_id = OLD.update_id WHERE id = NEW.id; END IF;'),
  'a trigger that sets another update_id': trigger('contact', 'BEFORE UPDATE', "NEW.update_id := 'mine';"),
  'a trigger that takes the update_id away': trigger('contact', 'BEFORE UPDATE', 'NEW.update_id := NULL;'),
  'a trigger that deletes the contact afterwards': trigger('contact', 'AFTER UPDATE', 'DELETE FROM omnichannel_contact WHERE id = NEW.id;'),
  'a trigger that calls a function that is not there': trigger('contact', 'BEFORE UPDATE', 'PERFORM missing(1);'),
  'a trigger that calls a function that is not there, at COMMIT': trigger('contact', 'AFTER UPDATE', 'PERFORM missing(1);', 'CONSTRAINT'),
  'a trigger of the e-mails that reverts the contact': trigger('contact_email', 'AFTER DELETE',
    'UPDATE omnichannel_contact SET update_id = NULL WHERE id = OLD.contact_id;'),
  'a trigger that drops the deletion of phone numbers': `INSERT INTO omnichannel_contact_phone VALUES ('maria', 1, '2'), ('maria', 2, '3');
    ${trigger('contact_phone', 'BEFORE DELETE', dropRow)}`,
  'a trigger that drops new e-mails': trigger('contact_email', 'BEFORE INSERT', dropRow),
  'a trigger that drops changed e-mails': trigger('contact_email', 'BEFORE UPDATE', dropRow),
  'a trigger that drops the deletion of e-mails': trigger('contact_email', 'BEFORE DELETE', dropRow),
  'a trigger that drops new phone numbers': trigger('contact_phone', 'BEFORE INSERT', dropRow),
  'a trigger that drops one of the phone numbers': trigger('contact_phone', 'BEFORE INSERT OR UPDATE', "IF NEW.phone_number = '2' THEN RETURN NULL; END IF;"),
  'a trigger that drops the statistic': trigger('statistic', 'BEFORE INSERT', dropRow),
  'a trigger that drops the stored answer': trigger('idempotency_key', 'BEFORE INSERT', dropRow),
  'a rule instead of the update of the contact': 'CREATE RULE host AS ON UPDATE TO omnichannel_contact DO INSTEAD NOTHING',
  'a rule instead of new e-mails': 'CREATE RULE host AS ON INSERT TO omnichannel_contact_email DO INSTEAD NOTHING',
  'a rule instead of the deletion of e-mails': 'CREATE RULE host AS ON DELETE TO omnichannel_contact_email DO INSTEAD NOTHING',
  'a rule instead of the stored answer': 'CREATE RULE host AS ON INSERT TO omnichannel_idempotency_key DO INSTEAD NOTHING',
  'a rule instead of the update for this contact only': "CREATE RULE host AS ON UPDATE TO omnichannel_contact WHERE OLD.id = 'maria' DO INSTEAD NOTHING"
}
const logged = /A trigger or rule has changed what was written|missing.* does not exist|INSERT RETURNING on relation|violates foreign key constraint/
/** Matches the names of triggers that make updates of all contacts fail, even of contacts without lists. */
const harmsAllContacts = /of the contact|the contact afterwards|update_id|a function that is not there/
for (const pipeline of [true, false]) {
  const how = pipeline ? '' : ', without pipelining'
  for (const [name, createTrigger] of Object.entries(harmless)) {
    t.test(`a trigger that ${name}: the update is made once${how}`, async (t) => { await checkMadeOnce(t, createTrigger, { pool: { pipeline } }) })
  }
  for (const [name, createTrigger] of Object.entries(harmful)) {
    t.test(`${name}: 500, nothing written${how}`, async (t) => {
      const isRule = createTrigger.startsWith('CREATE RULE')
      await checkRefused(t, {
        createTrigger,
        dropTrigger: isRule ? `DROP RULE host ON ${/omnichannel_\w+/.exec(createTrigger)![0]}` : 'DROP FUNCTION host_work CASCADE',
        otherStatus: harmsAllContacts.test(name) ? 500 : 200,
        logged,
        setup: { pool: { pipeline, max: 1 } }
      })
    })
  }
}

t.test('a trigger that drops the renames of rooms: 200, because they are not part of the contact', async (t) => {
  const { update, db } = await build(t)
  await db.exec(trigger('room', 'BEFORE UPDATE', dropRow))
  const before = await allRows(db)
  t.equal((await update({ contactId: 'blank', name: 'Blank' })).statusCode, 200)
  t.strictSame(changes(before, await allRows(db)), { 'contact blank': { name: 'Blank', unknown: 0, version: 2, updated_at: 'changed' } })
})

t.test('a trigger that raises an error with the code of a refusal: 500', async (t) => {
  const { update, db } = await observe(t)
  await db.exec(trigger('contact', 'BEFORE UPDATE', `RAISE EXCEPTION '${new UpdateRefusedError('error-mine').code}' USING ERRCODE = 'P0404';`))
  const before = await allRows(db)
  const reply = await update(body)
  t.strictSame([reply.statusCode, reply.json()], [500, internalServerError])
  t.strictSame(await allRows(db), before)
})
