import type Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { allRows, build, type Setup, type World } from '../../build.js'
import { openHandle } from '../../handle.js'
import { internal } from '../../refusals.js'
import { replaceClock } from '../../waiting.js'

/** A test server that records the SQL on its handle and the statuses of its answers, in order. */
async function watched (t: Test, setup: Setup = {}): Promise<World & { events: string[] }> {
  const events: string[] = []
  const database = openHandle(':memory:', { verbose: (sql) => { events.push(String(sql)) } })
  const host = (app: World['app']) => { app.addHook('onSend', async (_request, reply) => { events.push(`answer ${reply.statusCode}`) }) }
  const world = await build(t, { database, host, ...setup })
  database.exec(`
    INSERT INTO omnichannel_contact (id, name) VALUES ('a', 'A'), ('b', 'B'), ('c', 'C'), ('d', 'D'), ('e', 'E');
    CREATE TABLE parent (id INTEGER PRIMARY KEY);
    CREATE TABLE child (parent INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
    CREATE TRIGGER guard AFTER UPDATE OF name ON omnichannel_contact BEGIN
      SELECT RAISE(ABORT, 'no') WHERE new.name = 'ABORT';
      SELECT RAISE(FAIL, 'no') WHERE new.name = 'FAIL';
      SELECT RAISE(ROLLBACK, 'no') WHERE new.name = 'ROLLBACK';
      INSERT INTO child SELECT 1 WHERE new.name = 'ORPHAN';
    END`)
  replaceClock(t)
  events.length = 0
  return { ...world, events }
}

function commands (events: string[]): string[] {
  return events.filter((event) => /^(BEGIN|COMMIT|ROLLBACK$|answer)/.test(event))
}

function names (database: Database.Database): Record<string, unknown> {
  return Object.fromEntries(database.prepare('SELECT id, name FROM omnichannel_contact WHERE length(id) = 1 ORDER BY id').raw().all() as Array<[string, string]>)
}

/** Sends a name for each contact, all at once. */
async function send ({ update }: World, wanted: Record<string, string>): Promise<Array<[status: number, body: unknown]>> {
  const replies = await Promise.all(Object.entries(wanted).map(([contactId, name]) => update({ contactId, name })))
  return replies.map((reply) => [reply.statusCode, reply.statusCode === 200 ? reply.json().contact.name : reply.json()])
}

t.test('updates that arrive together: share one commit, and are answered after it', async (t) => {
  const world = await watched(t)
  t.strictSame(await send(world, { a: '1', b: '2', c: '3', d: '4', e: '5' }), [[200, '1'], [200, '2'], [200, '3'], [200, '4'], [200, '5']])
  t.strictSame(commands(world.events), ['BEGIN EXCLUSIVE', 'COMMIT', 'answer 200', 'answer 200', 'answer 200', 'answer 200', 'answer 200'])
  t.strictSame(names(world.database), { a: '1', b: '2', c: '3', d: '4', e: '5' })
})

t.test('a single update: committed at once, and the next has a commit of its own', async (t) => {
  const world = await watched(t)
  await send(world, { a: '1' })
  await send(world, { a: '2' })
  t.strictSame(commands(world.events), ['BEGIN EXCLUSIVE', 'COMMIT', 'answer 200', 'BEGIN EXCLUSIVE', 'COMMIT', 'answer 200'])
})

t.test('updates that take longer than a batch may: spread over several commits', async (t) => {
  const world = await watched(t)
  let now = 0
  performance.now = () => now += 5
  t.strictSame((await send(world, { a: '1', b: '2', c: '3', d: '4', e: '5' })).map(([status]) => status), [200, 200, 200, 200, 200])
  const commits = world.events.filter((event) => event === 'COMMIT').length
  t.ok(commits > 1 && commits <= 5, `${commits} commits`)
  t.strictSame(names(world.database), { a: '1', b: '2', c: '3', d: '4', e: '5' })
})

t.test('updates of one contact: made in the order of their arrival', async (t) => {
  const { update, database } = await watched(t)
  const replies = await Promise.all(['1', '2', '3'].map((name) => update({ contactId: 'a', name })))
  t.strictSame(replies.map((reply) => reply.json().contact.name), ['1', '2', '3'])
  t.strictSame(names(database).a, '3')
  t.equal(database.prepare("SELECT version FROM omnichannel_contact WHERE id = 'a'").pluck().get(), 4)
})

t.test('a refusal in a batch: the other updates are made', async (t) => {
  const world = await watched(t)
  t.strictSame(await send(world, { a: '1', b: '', c: '3', who: '4', e: '5' }), [
    [200, '1'],
    [400, { success: false, error: 'error-invalid-operation' }],
    [200, '3'],
    [400, { success: false, error: 'error-contact-not-found' }],
    [200, '5']
  ])
  t.equal(world.events.filter((event) => event === 'COMMIT').length, 1)
  t.strictSame(names(world.database), { a: '1', b: 'B', c: '3', d: 'D', e: '5' })
})

for (const fault of ['ABORT', 'FAIL', 'ROLLBACK']) {
  t.test(`a trigger that raises ${fault} for one contact: only its update fails`, async (t) => {
    const situations: Array<Record<string, string>> = [
      { a: fault }, { a: fault, b: '2', c: '3' }, { a: '1', b: fault, c: '3' }, { a: '1', b: '2', c: fault },
      { a: fault, b: fault, c: '3' }, { a: '1', b: fault, c: fault, d: '4', e: fault }
    ]
    for (const wanted of situations) {
      const world = await watched(t)
      const before = await allRows(world.db)
      const answers = Object.values(wanted).map((name) => name === fault ? [500, internal] : [200, name])
      t.strictSame(await send(world, wanted), answers, Object.values(wanted).join())
      const changed = Object.entries(wanted).filter(([, name]) => name !== fault)
      t.strictSame(names(world.database), { a: 'A', b: 'B', c: 'C', d: 'D', e: 'E', ...Object.fromEntries(changed) })
      if (changed.length === 0) t.strictSame(await allRows(world.db), before)
      const versions = world.database.prepare('SELECT sum(version - 1) FROM omnichannel_contact').pluck().get()
      t.equal(versions, changed.length, 'each is written once')
      const firstAnswer = world.events.findIndex((event) => event === 'answer 200')
      if (changed.length > 0) t.ok(world.events.indexOf('COMMIT') < firstAnswer, 'no answer before a COMMIT')
    }
  })
}

t.test('a COMMIT that fails because of one update: 500 for that update, and the others are made once', async (t) => {
  const lines: string[] = []
  const world = await watched(t, { server: { logger: { level: 'error', stream: { write: (line: string) => { lines.push(line) } } } } })
  world.database.pragma('foreign_keys = ON')
  const before = await allRows(world.db)
  t.strictSame(await send(world, { b: 'ORPHAN' }), [[500, internal]])
  t.strictSame(await allRows(world.db), before)
  t.strictSame(await send(world, { a: '1', b: 'ORPHAN', c: '3' }), [[200, '1'], [500, internal], [200, '3']])
  t.strictSame(names(world.database), { a: '1', b: 'B', c: '3', d: 'D', e: 'E' })
  t.strictSame(world.database.prepare("SELECT version FROM omnichannel_contact WHERE id IN ('a', 'b', 'c') ORDER BY id").pluck().all(), [2, 1, 2])
  t.equal(world.database.prepare('SELECT count(*) FROM child').pluck().get(), 0)
  t.equal(world.database.inTransaction, false)
  t.equal(lines.filter((line) => line.includes('FOREIGN KEY constraint failed')).length, 2, 'the cause is logged')

  t.strictSame(await send(world, { a: '2', c: '4' }), [[200, '2'], [200, '4']], 'the next updates')
})
