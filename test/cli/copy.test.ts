// The command copy moves a database file to a server, all of it or nothing.

import type Database from 'better-sqlite3'
import { join } from 'node:path'
import type { Test } from 'tap'
import { allRows, fill } from '../helpers/test-server.js'
import { postgres as t } from '../helpers/engines.js'
import { openSchema } from '../helpers/postgres.js'
import { sqliteDb } from '../helpers/sqlite.js'
import { openProxy } from '../store/explorer/proxy.js'
import { openDatabase } from './sqlite-files.js'
import { cli, startCommand } from './run-cli.js'

/** A database file with rows, and an empty schema on a PostgreSQL server. */
async function open (t: Test) {
  const file = join(t.testdir(), 'a.db')
  await cli(['user', 'add', 'adam', '--database', file])
  const source = openDatabase(file)
  await fill(sqliteDb(source))
  source.exec(`
    UPDATE omnichannel_contact SET name = 'a' || char(0) || 'b', custom_fields = '{ "a" : 1e400 }', update_id = '00ff' WHERE id = 'maria';
    INSERT INTO omnichannel_idempotency_key (user_id, key, fingerprint, contact_id, version, answer) VALUES ('ann', 'k', 'f', 'maria', 1, '{}');
    DELETE FROM omnichannel_role_permission WHERE role = 'admin';
    INSERT INTO omnichannel_statistic VALUES ('Resolved_Conflicts_Count', 9007199254740991)`)
  const { db, url, close } = await openSchema()
  t.teardown(async () => {
    source.close()
    await close()
  })
  return { file, source, db, url }
}

const withoutMigrations = ({ omnichannel_migration: _, ...tables }: Record<string, unknown[]>) => tables
/** The rows that must be equal on both engines. Only PostgreSQL has a column for the position of custom fields: SQLite uses the rowid. */
const comparable = (all: Record<string, unknown[]>) => ({
  ...withoutMigrations(all),
  omnichannel_custom_field: (all.omnichannel_custom_field as object[]).map((row) => ({ ...row, position: undefined }))
})

t.test('copy: copies and compares all rows, and copies nothing the second time', async (t) => {
  const { file, source, db, url } = await open(t)
  const name = url.replace(':s3cret', '')
  const count = Object.values(withoutMigrations(await allRows(sqliteDb(source)))).flat().length
  const { out, ...ended } = await cli(['copy', file, url])
  t.strictSame(ended, { code: 0, err: '' })
  t.equal(out.replace(/ in [\d.]+ s,/, ' in N s,'), `Copied ${file} to ${name}: ${count} rows in N s, compared row by row\n`)
  t.strictSame(comparable(await allRows(db)), comparable(await allRows(sqliteDb(source))))
  t.equal(await db.value("SELECT update_id FROM omnichannel_contact WHERE id = 'maria'"), '00ff')
  t.strictSame(await db.column('SELECT id FROM omnichannel_custom_field ORDER BY position'), ['plan', 'note', 'secret', 'topic'])
  t.strictSame(await cli(['copy', file, url]), { code: 0, out: `${name} holds the ${count} rows of ${file} already, compared row by row\n`, err: '' })
  t.strictSame(comparable(await allRows(db)), comparable(await allRows(sqliteDb(source))))
})

for (const dateStyle of ['German', 'SQL\\,DMY']) {
  t.test(`sessions of the server with DateStyle ${dateStyle}, in a time zone of their own: the same times on both sides`, async (t) => {
    const { file, source, db, url } = await open(t)
    const [created, updated] = ['0001-01-02T00:00:00.000Z', '1850-06-11T01:02:03.004Z']
    source.prepare("UPDATE omnichannel_contact SET created_at = ?, updated_at = ? WHERE id = 'blank'").run(created, updated)
    const { out, code } = await cli(['copy', file, `${url}${encodeURIComponent(` -c DateStyle=${dateStyle} -c TimeZone=Europe/Berlin`)}`])
    t.match({ code, out }, { code: 0, out: /^Copied / })
    t.match(await db.row(`SELECT created_at = '${created}' AS has_created, updated_at = '${updated}' AS has_updated
      FROM omnichannel_contact WHERE id = 'blank'`), { has_created: 1, has_updated: 1 })
  })
}

t.test('sessions of the server with short time limits: copied', async (t) => {
  const { file, url } = await open(t)
  const limits = ['idle_in_transaction_session_timeout=1', 'transaction_timeout=20', 'statement_timeout=20']
  for (const limit of limits) t.match(await cli(['copy', file, `${url}${encodeURIComponent(` -c ${limit}`)}`]), { code: 0, err: '' }, limit)
})

t.test('rows with a megabyte each: sent in several statements, because a text of Node.js cannot hold a thousand of them', async (t) => {
  const { file, source, db, url } = await open(t)
  source.exec(`INSERT INTO omnichannel_contact (id, name)
    WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 40) SELECT 'c' || n, n || hex(zeroblob(500000)) FROM number`)
  t.match(await cli(['migrate', '--database', url]), { code: 0 })
  await db.exec(`
    CREATE TABLE statement (rows bigint);
    CREATE FUNCTION log() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO statement SELECT count(*) FROM inserted; RETURN NULL; END $$;
    CREATE TRIGGER log AFTER INSERT ON omnichannel_contact REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION log()`)
  t.match(await cli(['copy', file, url]), { code: 0, out: /^Copied / })
  t.equal(await db.value('SELECT count(*) FROM omnichannel_contact WHERE length(name) > 1000000'), 40)
  const statements = await db.column<number>('SELECT rows FROM statement')
  t.ok(statements.length > 1 && Math.max(...statements) < 30, String(statements))
})

t.test('a server with other data: refused, and not changed', async (t) => {
  const { file, db, url } = await open(t)
  await cli(['user', 'add', 'eve', '--database', url])
  const before = await allRows(db)
  t.match(await cli(['copy', file, url]), { code: 1, out: '', err: /holds other data in omnichannel_user; nothing was copied\n$/ })
  t.strictSame(await allRows(db), before)
})

t.test('a server that stores other values than it was sent: nothing is copied', async (t) => {
  const { file, db, url } = await open(t)
  await cli(['migrate', '--database', url])
  await db.exec(`
    CREATE FUNCTION bend() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.address = lower(NEW.address) || '!'; RETURN NEW; END $$;
    CREATE TRIGGER bend BEFORE INSERT ON omnichannel_contact_email FOR EACH ROW EXECUTE FUNCTION bend()`)
  const before = await allRows(db)
  t.match(await cli(['copy', file, url]), { code: 1, err: /stored other rows in omnichannel_contact_email than it was sent; nothing was copied\n$/ })
  t.strictSame(await allRows(db), before)
})

/** Makes a copy take longer. */
function addRooms (source: Database.Database, count: number): void {
  source.prepare(`INSERT INTO omnichannel_room (id, contact_id)
    WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < ?) SELECT 'r' || n, 'x' FROM number`).run(count)
}

t.test('SIGINT: nothing is copied, and a second copy succeeds', async (t) => {
  const { file, source, db, url } = await open(t)
  addRooms(source, 20_000)
  await cli(['migrate', '--database', url])
  const before = await allRows(db)
  const copying = startCommand(['copy', file, url])
  while (copying.listenedSignals().length === 0) await new Promise(setImmediate)
  copying.sendSignal('SIGINT')
  t.strictSame(await copying.ended, { code: 130, out: '', err: 'Stopped: nothing was copied\n' })
  t.strictSame(await allRows(db), before)
  t.match(await cli(['copy', file, url]), { code: 0 })
})

t.test('a file that does not exist, or a second argument that is no server: one sentence', async (t) => {
  const folder = t.testdir()
  t.match(await cli(['copy', join(folder, 'none.db'), 'postgres://localhost/a']), { code: 1, err: /^There is no database file .*none\.db: name another, or make one with the command migrate\n$/ })
  t.match(await cli(['copy', 'a.db', 'b.db']), { code: 2, err: /must be as postgres:\/\/user@host\/name; see copy --help\n$/ })
})

t.test('a connection that is cut: one sentence, and nothing is copied', async (t) => {
  const { file, source, db, url } = await open(t)
  addRooms(source, 200_000)
  await cli(['migrate', '--database', url])
  const before = await allRows(db)
  const copying = startCommand(['copy', file, url])
  /** Returns no row until the server has such a statement. */
  const endConnection = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = current_schema() AND query LIKE 'INSERT INTO omnichannel_room%'`
  while (await db.value(endConnection) === undefined) await new Promise(setImmediate)
  const { code, out, err } = await copying.ended
  t.strictSame([code, out], [1, ''])
  t.match(err, /^The database \S+ cannot be used: (terminating connection due to administrator command|the connection was lost)\n$/)
  t.strictSame(await allRows(db), before)
})

/** The address of a proxy that cuts the connection when a statement with this text is sent. */
async function urlOfCuttingProxy (t: Test, url: string, text: string): Promise<string> {
  const proxy = await openProxy()
  t.teardown(proxy.close)
  proxy.plan.begin([{ at: new RegExp(text), times: Infinity, fault: { do: 'cut-before' } }])
  return url.replace(/host=[^&]*/, `host=${proxy.host}`)
}

t.test('a connection that is cut in any command: one sentence', async (t) => {
  const { file, db, url } = await open(t)
  await cli(['migrate', '--database', url])
  const scenarios: Array<[argv: (url: string) => string[], textOfStatement: string]> = [
    [(url) => ['user', 'list', '--database', url], 'from "omnichannel_user"'],
    [(url) => ['user', 'add', 'bob', '--database', url], 'into "omnichannel_user"'],
    [(url) => ['user', 'remove', 'ann', '--database', url], 'from "omnichannel_user"'],
    [(url) => ['token', 'list', '--database', url], 'from "omnichannel_auth_token"'],
    [(url) => ['contact', 'list', '--search', 'x', '--database', url], 'join "omnichannel_contact_email"'],
    [(url) => ['copy', file, url], 'LOCK TABLE'],
    [(url) => ['copy', file, url], 'FETCH'],
    [(url) => ['copy', file, url], 'COMMIT']
  ]
  const before = await allRows(db)
  for (const [argv, text] of scenarios) {
    await t.test(`${argv('').join(' ')}: ${text}`, async (t) => {
      t.match(await cli(argv(await urlOfCuttingProxy(t, url, text))), { code: 1, out: '', err: /^The database \S+ cannot be used: the connection was lost\n$/ })
    })
  }
  t.strictSame(await allRows(db), before)
})
