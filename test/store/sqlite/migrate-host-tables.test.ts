// Tables and views of the host in place of the plugin's: accepted if they have all columns, used as they are, and not changed.

import type Database from 'better-sqlite3'
import fastify from 'fastify'
import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import omnichannelContacts, { hashToken } from '../../../src/index.js'
import { path } from '../../helpers/test-server.js'
import { openHandle } from '../../helpers/open-handle.js'
import { incompleteSchema, rejectionOf } from '../../helpers/registration.js'

const schemaSql = readFileSync('schema.sql', 'utf8')

/** Why the plugin refuses a database. The database is closed at the end of the test. */
async function rejectionAndClose (t: Test, database: Database.Database, migrate = true): ReturnType<typeof rejectionOf> {
  t.teardown(() => { database.close() })
  return await rejectionOf({ database, migrate })
}

/** Registers the plugin, and adds a contact, and a token for each user. Returns a function that sends an update as a user. */
async function start (t: Test, database: Database.Database, users: string[]) {
  const app = fastify()
  t.teardown(async () => {
    await app.close()
    database.close()
  })
  await app.register(omnichannelContacts, { database })
  database.exec("INSERT INTO omnichannel_contact (id, name) VALUES ('maria', 'Maria')")
  const addToken = database.prepare('INSERT INTO omnichannel_auth_token (hashed_token, user_id) VALUES (?, ?)')
  for (const user of users) addToken.run(hashToken(`token-of-${user}`), user)
  return async (userId: string, body: object, ownerOfToken = userId) => await app.inject({
    method: 'POST', url: path, headers: { 'x-user-id': userId, 'x-auth-token': `token-of-${ownerOfToken}` }, payload: { contactId: 'maria', ...body }
  })
}

const addAnn = "INSERT INTO omnichannel_user (id) VALUES ('ann'); INSERT INTO omnichannel_user_role VALUES ('ann', 'livechat-agent')"

t.test('a table or view of the host that lacks a column: the error names the column, and nothing is created', async (t) => {
  const tablesByMissingColumns: Record<string, string> = {
    'omnichannel_user.active': 'CREATE TABLE omnichannel_user (id TEXT PRIMARY KEY, username TEXT, name TEXT)',
    'omnichannel_user.username, omnichannel_user.active': "CREATE VIEW omnichannel_user AS SELECT 'x' AS id, 'x' AS name",
    'omnichannel_room.fname': 'CREATE TABLE omnichannel_room (id TEXT, contact_id TEXT, updated_at TEXT)',
    'omnichannel_role_permission.permission': 'CREATE TABLE omnichannel_role_permission (role TEXT)',
    'omnichannel_contact_email.address': 'CREATE TABLE omnichannel_contact_email (contact_id TEXT, position INTEGER)',
    'omnichannel_custom_field.rowid':
      'CREATE TABLE omnichannel_custom_field (id TEXT PRIMARY KEY, label TEXT, scope TEXT, visibility TEXT, required INTEGER, regexp TEXT) WITHOUT ROWID',
    'omnichannel_custom_field.regexp, omnichannel_custom_field.rowid':
      "CREATE VIEW omnichannel_custom_field AS SELECT 'x' AS id, '' AS label, 'visitor' AS scope, 'visible' AS visibility, 0 AS required",
    'omnichannel_migration.id': 'CREATE TABLE omnichannel_migration (applied_at TEXT)'
  }
  for (const [missing, sql] of Object.entries(tablesByMissingColumns)) {
    const database = openHandle(':memory:')
    database.exec(sql)
    t.strictSame(await rejectionAndClose(t, database), incompleteSchema(missing), missing)
    t.equal(database.prepare('SELECT count(*) FROM sqlite_schema WHERE sql IS NOT NULL').pluck().get(), 1, 'nothing was created')
  }
})

const hostTablesAndViews = `
  CREATE TABLE person (key INTEGER PRIMARY KEY, login TEXT, fullname TEXT, left_at TEXT, role TEXT);
  CREATE TABLE chat (key TEXT PRIMARY KEY, person TEXT, title TEXT, touched TEXT);
  CREATE TABLE seat (key TEXT PRIMARY KEY, visitor TEXT, title TEXT, touched TEXT);
  CREATE TABLE ticket (key TEXT PRIMARY KEY, visitor TEXT, title TEXT, touched TEXT);
  -- As numbers of JavaScript, the first two keys would be equal.
  INSERT INTO person VALUES (9007199254740992, 'alice', 'Alice', NULL, 'support'), (9007199254740993, 'cook', 'Cook', NULL, 'kitchen'),
    (8, 'left', 'Left', '2026-01-01', 'support');
  INSERT INTO chat VALUES ('c1', 'maria', 'Maria', ''), ('c2', 'other', 'Other', '');
  INSERT INTO seat VALUES ('s1', 'visitor-1', 'Maria', ''), ('s2', 'visitor-9', 'Other', '');
  INSERT INTO ticket VALUES ('t1', 'visitor-2', 'Maria', ''), ('t2', 'visitor-9', 'Other', '');

  CREATE VIEW omnichannel_user AS SELECT CAST(key AS TEXT) AS id, login AS username, fullname AS name, left_at IS NULL AS active FROM person;
  CREATE VIEW omnichannel_user_role AS SELECT CAST(key AS TEXT) AS user_id, 'livechat-agent' AS role FROM person WHERE role = 'support';
  CREATE VIEW omnichannel_role_permission AS SELECT 'livechat-agent' AS role, 'update-livechat-contact' AS permission;
  CREATE VIEW omnichannel_room AS SELECT key AS id, person AS contact_id, title AS fname, touched AS updated_at FROM chat;
  CREATE VIEW omnichannel_subscription AS
    SELECT key AS id, '' AS room_id, visitor AS visitor_id, title AS name, title AS fname, touched AS updated_at FROM seat;
  CREATE VIEW omnichannel_inquiry AS SELECT key AS id, '' AS room_id, visitor AS visitor_id, title AS name, touched AS updated_at FROM ticket;
  CREATE TRIGGER rename_chat INSTEAD OF UPDATE ON omnichannel_room BEGIN
    UPDATE chat SET title = new.fname, touched = new.updated_at WHERE key = old.id;
  END;
  CREATE TRIGGER rename_seat INSTEAD OF UPDATE ON omnichannel_subscription BEGIN
    UPDATE seat SET title = new.name || '/' || new.fname, touched = new.updated_at WHERE key = old.id;
  END;
  CREATE TRIGGER rename_ticket INSTEAD OF UPDATE ON omnichannel_inquiry BEGIN
    UPDATE ticket SET title = new.name, touched = new.updated_at WHERE key = old.id;
  END;`

t.test('generated columns, a virtual table and columns in capitals: accepted', async (t) => {
  const database = openHandle(':memory:')
  database.exec(`
    CREATE TABLE omnichannel_user (
      id TEXT PRIMARY KEY, left_at TEXT, Username TEXT AS (lower(id)) VIRTUAL, NAME TEXT GENERATED ALWAYS AS (upper(id)) STORED,
      active INTEGER GENERATED ALWAYS AS (left_at IS NULL) STORED
    );
    INSERT INTO omnichannel_user (id, left_at) VALUES ('ann', NULL), ('bob', '2026-01-01');
    CREATE TABLE OMNICHANNEL_USER_ROLE (USER_ID TEXT, role GENERATED ALWAYS AS ('livechat-agent'));
    INSERT INTO omnichannel_user_role VALUES ('ann'), ('bob');
    CREATE VIRTUAL TABLE omnichannel_custom_field USING fts5 (id, label, scope, visibility, required, regexp)`)
  const tables = (): unknown[] => database.prepare("SELECT name, sql FROM sqlite_schema WHERE name IN ('omnichannel_user', 'OMNICHANNEL_USER_ROLE')").all()
  const before = tables()
  const update = await start(t, database, ['ann', 'bob'])
  t.strictSame(tables(), before)
  t.strictSame([(await update('ann', { name: 'Marie' })).statusCode, (await update('bob', { name: 'Marie' })).statusCode], [200, 401])
})

t.test('a view of custom fields with a column rowid: they are checked in its order', async (t) => {
  const database = openHandle(':memory:')
  database.exec(`${schemaSql}; DROP TABLE omnichannel_custom_field; CREATE TABLE field (name TEXT, position INTEGER); ${addAnn};
    INSERT INTO field VALUES ('a', 2), ('b', 1);
    CREATE VIEW omnichannel_custom_field AS
      SELECT position AS rowid, name AS id, '' AS label, 'visitor' AS scope, 'visible' AS visibility, 1 AS required, '' AS regexp FROM field`)
  const update = await start(t, database, ['ann'])
  const errors = [{ customFields: {} }, { customFields: { b: 'x' } }].map(async (body) => (await update('ann', body)).json().error as unknown)
  t.strictSame(await Promise.all(errors), ['Invalid value for b field', 'Invalid value for a field'])
  t.strictSame((await update('ann', { customFields: { b: 'x', a: 'y' } })).json().contact.customFields, { a: 'y', b: 'x' })
})

/** The columns of omnichannel_contact in schema version 2, with values. */
const contactColumns = `'maria' AS id, 'Maria' AS name, NULL AS contact_manager, '{}' AS custom_fields, '[]' AS conflicting_fields, 0 AS unknown,
  0 AS pre_registration, NULL AS last_chat_id, NULL AS last_chat_at, 1 AS enabled, 1 AS version, '' AS created_at, '' AS updated_at`

t.test('a view as omnichannel_contact: refused until it has the new column, then not changed', async (t) => {
  const database = openHandle(':memory:')
  t.teardown(() => { database.close() })
  database.exec(`CREATE VIEW omnichannel_contact AS SELECT ${contactColumns}`)
  const before = database.prepare('SELECT * FROM sqlite_schema').all()
  t.strictSame(await rejectionOf({ database, migrate: true }), incompleteSchema('omnichannel_contact.update_id'))
  t.strictSame(database.prepare('SELECT * FROM sqlite_schema').all(), before, 'nothing was written')
  database.exec(`DROP VIEW omnichannel_contact; CREATE VIEW omnichannel_contact AS SELECT ${contactColumns}, NULL AS update_id`)
  for (const migrate of [true, false, true]) t.equal(await rejectionOf({ database, migrate }), undefined)
  t.equal(database.prepare("SELECT count(*) FROM sqlite_schema WHERE tbl_name = 'omnichannel_contact'").pluck().get(), 1, 'the view has no trigger of the plugin')
})

/** The same columns without values. */
const contactColumnNames = contactColumns.replace(/[^,]* AS /g, '')

t.test('a table of the host as omnichannel_contact: gets the new column', async (t) => {
  const database = openHandle(':memory:')
  database.exec(`CREATE TABLE omnichannel_contact (${contactColumnNames}); INSERT INTO omnichannel_contact (id, name) VALUES ('maria', 'Maria')`)
  t.equal(await rejectionAndClose(t, database), undefined)
  t.match(database.prepare('SELECT id, name, update_id FROM omnichannel_contact').all(), [{ id: 'maria', name: 'Maria', update_id: null }])
})

t.test('a table of the host as omnichannel_contact, with NULL in place of JSON: read as no custom fields and no conflicts', async (t) => {
  const database = openHandle(':memory:')
  database.exec(`CREATE TABLE omnichannel_contact (${contactColumnNames.replace(/\b(enabled|version)\b/g, '$1 DEFAULT 1').replace('id', 'id PRIMARY KEY')});
    ${schemaSql}; ${addAnn}; INSERT INTO omnichannel_custom_field (id) VALUES ('plan')`)
  const update = await start(t, database, ['ann'])
  const shown = async (body: object): Promise<unknown[]> => {
    const { customFields, conflictingFields } = (await update('ann', body)).json().contact
    return [customFields, conflictingFields]
  }
  t.strictSame(await shown({}), [{}, []])
  t.strictSame(await shown({ wipeConflicts: true }), [{}, []])
  t.strictSame(await shown({ customFields: { plan: 'gold' } }), [{ plan: 'gold' }, []])
})

t.test('a virtual table as omnichannel_contact: refused, because it cannot get the new column', async (t) => {
  const database = openHandle(':memory:')
  database.exec(`CREATE VIRTUAL TABLE omnichannel_contact USING fts5 (${contactColumnNames})`)
  t.strictSame(await rejectionAndClose(t, database), incompleteSchema('omnichannel_contact.update_id'))
})

/** The host's tables and views in a new database, and in one of schema version 2. */
function openWithViews (): Database.Database[] {
  return [[], ['000001', '000002']].map((migrations) => {
    const database = openHandle(':memory:')
    database.exec(hostTablesAndViews)
    for (const migration of migrations) database.exec(readFileSync(`src/store/migrations/sqlite/${migration}.sql`, 'utf8'))
    return database
  })
}

t.test('views over tables of the host: not changed, and used for access, managers and renames', async (t) => {
  for (const database of openWithViews()) {
    const views = database.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'view' ORDER BY name")
    const before = views.all()
    const [agent, cook, left] = ['9007199254740992', '9007199254740993', '8'] as const
    const update = await start(t, database, [agent, cook, left])
    t.strictSame(views.all(), before)
    database.exec(`INSERT INTO omnichannel_contact_channel (contact_id, position, name, visitor_id, source_type)
      VALUES ('maria', 0, 'Widget', 'visitor-1', 'widget'), ('maria', 1, 'SMS', 'visitor-2', 'sms')`)
    t.equal((await update(left, { name: 'X' })).statusCode, 401, 'an inactive user')
    t.equal((await update(cook, { name: 'X' })).statusCode, 403, 'a user without the role')
    for (const id of [` ${agent}`, `0${agent}`]) t.equal((await update(id, { name: 'X' }, agent)).statusCode, 401, `another text, ${id}`)
    for (const contactManager of [cook, ` ${agent}`, `${agent}.0`]) {
      t.equal((await update(agent, { name: 'X', contactManager })).json().error, 'error-contact-manager-not-found', contactManager)
    }

    const { contact } = (await update(agent, { name: 'Marie', contactManager: agent })).json()
    t.match(contact, { name: 'Marie', contactManager: agent })
    const touched: string = contact._updatedAt
    t.strictSame(['chat', 'seat', 'ticket'].map((table) => database.prepare(`SELECT key, title, touched FROM ${table} ORDER BY 1`).raw().all()), [
      [['c1', 'Marie', touched], ['c2', 'Other', '']],
      [['s1', 'Marie/Marie', touched], ['s2', 'Other', '']],
      [['t1', 'Marie', touched], ['t2', 'Other', '']]
    ])

    database.exec("UPDATE person SET left_at = '2026-02-01' WHERE role = 'support'")
    t.equal((await update(agent, {})).statusCode, 401, 'a user who has become inactive')
  }
})

t.test('a table of the host behind a view refuses the rename: 500, and nothing changes', async (t) => {
  for (const database of openWithViews()) {
    const agent = '9007199254740992'
    const update = await start(t, database, [agent])
    database.exec(`INSERT INTO omnichannel_contact_channel (contact_id, position, name, visitor_id, source_type)
      VALUES ('maria', 0, 'Widget', 'visitor-1', 'widget'), ('maria', 1, 'SMS', 'visitor-2', 'sms');
      CREATE TRIGGER refuse BEFORE UPDATE OF title ON ticket BEGIN SELECT RAISE(ABORT, 'no'); END`)
    const rows = (): unknown[] => ['omnichannel_contact', 'chat', 'seat', 'ticket'].map((table) => database.prepare(`SELECT * FROM ${table}`).all())
    const before = rows()
    t.equal((await update(agent, { name: 'Marie' })).statusCode, 500)
    t.strictSame(rows(), before)
  }
})

t.test('a table of contacts whose ids ignore case or blanks: another spelling is another id', async (t) => {
  for (const [collation, otherSpelling] of [['NOCASE', 'MARIA'], ['RTRIM', 'maria ']]) {
    const database = openHandle(':memory:')
    const [createTable = ''] = /CREATE TABLE IF NOT EXISTS omnichannel_contact .*?STRICT, WITHOUT ROWID;/s.exec(schemaSql) ?? []
    database.exec(createTable.replace(/id +TEXT +NOT NULL/, `$& COLLATE ${collation}`))
    const update = await start(t, database, [])
    database.exec(`${addAnn};
      INSERT INTO omnichannel_contact_email VALUES ('maria', 0, 'maria@example.com'), ('maria', 1, 'm@example.org')`)
    database.prepare('INSERT INTO omnichannel_auth_token (hashed_token, user_id) VALUES (?, ?)').run(hashToken('token-of-ann'), 'ann')
    t.equal(database.prepare('SELECT count(*) FROM omnichannel_contact WHERE id = ?').pluck().get(otherSpelling), 1, 'SQLite takes it for the same id')
    t.equal((await update('ann', { contactId: otherSpelling, emails: ['x@example.com'] })).json().error, 'error-contact-not-found')
    const { contact } = (await update('ann', { phones: ['1'] })).json()
    t.match(contact, { _id: 'maria', emails: [{ address: 'maria@example.com' }, { address: 'm@example.org' }] })
  }
})

t.test('a token of a host table whose expiry is no time in ISO 8601: expired', async (t) => {
  const database = openHandle(':memory:')
  database.exec('CREATE TABLE omnichannel_auth_token (hashed_token TEXT PRIMARY KEY, user_id TEXT, name TEXT, created_at TEXT, expires_at TEXT)')
  const update = await start(t, database, ['ann'])
  database.exec(addAnn)
  const statusOfTimes = { never: 401, 2000000000: 401, '2999-13-45': 401, '2999-12-31T00:00:00.000Z': 200 }
  for (const [time, status] of Object.entries(statusOfTimes)) {
    database.prepare('UPDATE omnichannel_auth_token SET expires_at = ?').run(time)
    t.equal((await update('ann', { name: time })).statusCode, status, time)
  }
  t.equal(database.prepare('SELECT version FROM omnichannel_contact').pluck().get(), 2)
})

t.test('tables of users whose ids ignore case: another spelling is another user', async (t) => {
  const database = openHandle(':memory:')
  database.exec(`
    CREATE TABLE omnichannel_user (id TEXT PRIMARY KEY COLLATE NOCASE, username TEXT, name TEXT, active INTEGER DEFAULT 1);
    CREATE TABLE omnichannel_user_role (user_id TEXT COLLATE NOCASE, role TEXT);
    CREATE TABLE omnichannel_auth_token (hashed_token TEXT, user_id TEXT COLLATE NOCASE, name TEXT, created_at TEXT, expires_at TEXT)`)
  const update = await start(t, database, ['ann'])
  database.exec(addAnn)
  t.equal((await update('ANN', { name: 'Mary' }, 'ann')).statusCode, 401)
  t.equal((await update('ann', { contactManager: 'ANN' })).json().error, 'error-contact-manager-not-found')
  t.equal((await update('ann', { contactManager: 'ann' })).json().contact.contactManager, 'ann')
  t.equal(database.prepare('SELECT version FROM omnichannel_contact').pluck().get(), 2)
})

t.test('a table of e-mail addresses that ignores case: another spelling is written', async (t) => {
  const database = openHandle(':memory:')
  database.exec(`CREATE TABLE omnichannel_contact_email
    (contact_id TEXT, position INTEGER, address TEXT COLLATE NOCASE, PRIMARY KEY (contact_id, position))`)
  const update = await start(t, database, ['ann'])
  database.exec(addAnn)
  for (const emails of [['a@x', 'b@x', 'c@x'], ['A@x', 'b@x', 'C@x'], ['A@x', 'B@x', 'C@x']]) {
    t.equal((await update('ann', { emails })).statusCode, 200)
    t.strictSame(database.prepare('SELECT address FROM omnichannel_contact_email ORDER BY position').pluck().all(), emails)
  }
})

t.test('a column of the host that must hold text but has another type: refused, and the error names the cast', async (t) => {
  const viewsAndTables: Record<string, string> = {
    'omnichannel_user.id INTEGER': "CREATE VIEW omnichannel_user AS SELECT id, '' AS username, '' AS name, 1 AS active FROM person",
    'omnichannel_user.id REAL': "CREATE VIEW omnichannel_user AS SELECT weight AS id, '' AS username, '' AS name, 1 AS active FROM person",
    'omnichannel_user_role.user_id INTEGER': "CREATE VIEW omnichannel_user_role AS SELECT id AS user_id, 'livechat-agent' AS role FROM person",
    'omnichannel_room.id INTEGER': "CREATE VIEW omnichannel_room AS SELECT id, 'maria' AS contact_id, '' AS fname, '' AS updated_at FROM person",
    'omnichannel_room.contact_id BLOB': "CREATE VIEW omnichannel_room AS SELECT '1' AS id, untyped AS contact_id, '' AS fname, '' AS updated_at FROM person",
    'omnichannel_auth_token.user_id INTEGER': `CREATE TABLE omnichannel_auth_token
      (hashed_token TEXT, user_id INTEGER, name TEXT, created_at TEXT, expires_at TEXT)`
  }
  for (const [columnAndType, sql] of Object.entries(viewsAndTables)) {
    const [column = '', type] = columnAndType.split(' ')
    for (const migrate of [true, false]) {
      const database = openHandle(':memory:')
      database.exec('CREATE TABLE person (id INTEGER PRIMARY KEY, weight REAL, untyped)')
      database.exec(sql)
      if (!migrate) database.exec(schemaSql)
      const before = database.prepare('SELECT * FROM sqlite_schema').all()
      t.strictSame(await rejectionAndClose(t, database, migrate), {
        code: 'FOC_UNSUITABLE_COLUMN',
        message: `The column ${column} has the type ${type} and must hold text, or one id could be taken for another. ` +
          `Write CAST(… AS TEXT) AS ${column.split('.')[1]} in your view`,
        isTypeError: false
      }, columnAndType)
      t.strictSame(database.prepare('SELECT * FROM sqlite_schema').all(), before)
    }
  }
})

t.test('tables of an attached file, and temporary tables: never used in place of those of main', async (t) => {
  const archiveFile = `${t.testdir()}/archive.db`
  const archive = openHandle(archiveFile)
  archive.exec(schemaSql)
  archive.exec(`${addAnn};
    INSERT INTO omnichannel_migration (id) VALUES (1);
    INSERT INTO omnichannel_role_permission VALUES ('livechat-agent', 'update-livechat-contact');
    INSERT INTO omnichannel_auth_token (hashed_token, user_id) VALUES ('${hashToken('token-of-ann')}', 'ann');
    INSERT INTO omnichannel_contact (id, name) VALUES ('maria', 'Maria')`)
  archive.close()

  const database = openHandle(':memory:')
  database.prepare('ATTACH ? AS archive').run(archiveFile)
  t.match(await rejectionOf({ database, migrate: false }), { message: /^The database lacks omnichannel_user, omnichannel_user_role, / })

  const update = await start(t, database, [])
  const statusForAnn = async (): Promise<number> => (await update('ann', { name: 'Marie' })).statusCode
  t.equal(await statusForAnn(), 401, 'a token of the archive')
  t.strictSame(database.prepare('SELECT id FROM main.omnichannel_migration').pluck().all(), [1, 2, 3])
  t.equal(database.prepare('SELECT count(*) FROM main.omnichannel_role_permission').pluck().get(), 4)

  for (const table of ['user', 'user_role', 'role_permission', 'auth_token', 'contact']) {
    database.exec(`CREATE TEMP TABLE omnichannel_${table} AS SELECT * FROM archive.omnichannel_${table}`)
  }
  t.equal(await statusForAnn(), 401, 'a token of a temporary table')
  for (const table of ['user', 'user_role', 'auth_token']) {
    database.exec(`INSERT INTO main.omnichannel_${table} SELECT * FROM archive.omnichannel_${table}`)
  }
  t.equal(await statusForAnn(), 200)
  t.strictSame(['main', 'temp', 'archive'].map((schema) => database.prepare(`SELECT name FROM ${schema}.omnichannel_contact`).pluck().get()),
    ['Marie', 'Maria', 'Maria'])
})
