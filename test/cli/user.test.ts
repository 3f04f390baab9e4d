// The commands user and token.

import { join } from 'node:path'
import t, { type Test } from 'tap'
import { hashToken } from '../../src/index.js'
import { allRows, path } from '../helpers/test-server.js'
import { withDb, withDatabase, openFile, replaceMethod } from './sqlite-files.js'
import { cli, serve } from './run-cli.js'

/** A new database file, which the variable names. */
function createDatabase (t: Test) {
  const file = join(t.testdir(), 'users.db')
  const env = { OMNICHANNEL_DATABASE: file }
  return {
    file,
    command: async (...argv: string[]) => await cli(argv, { env }),
    tables: async () => await withDb(file, allRows)
  }
}

t.test('user add, deactivate, activate and remove: change the rows, and user list shows them', async (t) => {
  const { command, tables } = createDatabase(t)
  t.strictSame(await command('user', 'add', 'ann', '--role', 'livechat-agent', '--role', 'admin', '--name', 'Ann Lee'),
    { code: 0, out: 'Added user ann\n', err: '' })
  t.equal((await command('user', 'add', 'bob')).out, 'Added user bob\n')
  t.equal((await command('user', 'add', 'ann', '--role', 'admin', '--role', 'livechat-manager', '--username', 'ann.lee')).out, 'Updated user ann\n')
  t.strictSame((await tables()).omnichannel_user, [
    { id: 'ann', username: 'ann.lee', name: 'Ann Lee', active: 1 }, { id: 'bob', username: 'bob', name: '', active: 1 }
  ])
  t.equal((await command('user', 'deactivate', 'bob')).out, 'Deactivated user bob\n')
  t.equal((await command('user', 'list')).out, [
    'ID   USERNAME  NAME     ACTIVE  ROLES',
    'ann  ann.lee   Ann Lee  yes     admin, livechat-agent, livechat-manager',
    'bob  bob                no',
    ''
  ].join('\n'))
  t.equal((await command('user', 'activate', 'bob')).out, 'Activated user bob\n')
  t.equal((await command('token', 'create', 'ann')).code, 0)
  t.equal((await command('user', 'remove', 'ann')).out, 'Removed user ann\n')
  const { omnichannel_user: users, omnichannel_user_role: roles, omnichannel_auth_token: tokens } = await tables()
  t.strictSame([users, roles, tokens], [[{ id: 'bob', username: 'bob', name: '', active: 1 }], [], []])
})

t.test('user add and token create for a user without a role that may update: a warning about the coming 403', async (t) => {
  const { command } = createDatabase(t)
  const consequence = 'so its calls will be answered with 403; user add bob --role ROLE helps, with one of ' +
    'admin, livechat-agent, livechat-manager, livechat-monitor\n'
  t.strictSame(await command('user', 'add', 'bob'), { code: 0, out: 'Added user bob\n', err: `Warning: user bob has no role, ${consequence}` })
  t.match(await command('token', 'create', 'bob'), { code: 0, err: `X-User-Id: bob\nWarning: user bob has no role, ${consequence}` })
  t.strictSame(await command('user', 'add', 'bob', '--role', 'Livechat-agnet'), {
    code: 0,
    out: 'Updated user bob\n',
    err: 'Warning: no permission names the role Livechat-agnet, did you mean livechat-agent?\n' +
      `Warning: user bob has no role that may update contacts (only Livechat-agnet), ${consequence}`
  })
  t.strictSame(await command('user', 'add', 'bob', '--role', 'admin', '--role', 'owner'),
    { code: 0, out: 'Updated user bob\n', err: 'Warning: no permission names the role owner\n' })
})

t.test('an error after which SQLite has rolled back by itself: reported, and nothing is stored', async (t) => {
  const { file, command, tables } = createDatabase(t)
  await command('user', 'add', 'ann', '--role', 'admin')
  const before = await tables()
  withDatabase(file, (database) => database.exec(`
    CREATE TRIGGER full BEFORE INSERT ON omnichannel_user BEGIN SELECT RAISE(ROLLBACK, 'no room for another user'); END`))
  t.strictSame(await command('user', 'add', 'bob'), { code: 1, out: '', err: `The database file ${file} cannot be used: no room for another user\n` })
  t.strictSame(await tables(), before)
})

t.test('a COMMIT that fails on the disk: another commit overwrites it in the log of a running server', async (t) => {
  const { command, tables, file } = createDatabase(t)
  await command('user', 'add', 'ann')
  const served = openFile(t, file)
  // Changes with each commit of another connection.
  const dataVersion = (): unknown => served.pragma('data_version', { simple: true })
  const before = { dataVersion: dataVersion(), rows: await tables() }
  let failed = false
  replaceMethod(t, 'prepare', (handle, sql, call) => {
    if (sql !== 'commit' || failed) return call()
    failed = true
    // As SQLite does. What it has written to the log stays there.
    handle.exec('ROLLBACK')
    throw Object.assign(new Error('disk I/O error'), { code: 'SQLITE_IOERR_FSYNC', errcode: 1034 })
  })
  const added = await command('user', 'add', 'bob', '--role', 'admin')
  t.strictSame(added, { code: 1, out: '', err: `The database file ${file} cannot be used: disk I/O error\n` })
  t.not(dataVersion(), before.dataVersion)
  t.strictSame(await tables(), before.rows)
})

t.test('the roles for the warning cannot be read: no user is added, and no token is stored', async (t) => {
  const { command, file } = createDatabase(t)
  await command('user', 'add', 'ann')
  withDatabase(file, (database) => database.exec(`
    DROP TABLE omnichannel_role_permission;
    CREATE VIEW omnichannel_role_permission AS SELECT json_extract('{', '$') AS role, '' AS permission`))
  for (const argv of [['user', 'add', 'bob'], ['token', 'create', 'ann']]) t.match(await command(...argv), { code: 1, err: /malformed JSON/ })
  for (const [table, count] of [['user', 1], ['auth_token', 0]]) {
    t.equal(withDatabase(file, (database) => database.prepare(`SELECT count(*) FROM omnichannel_${table}`).pluck().get()), count)
  }
})

t.test('user add: the warning names the roles of the database', async (t) => {
  const { file, command } = createDatabase(t)
  await command('user', 'add', 'ann', '--role', 'admin')
  const database = openFile(t, file)
  database.exec(`
    UPDATE omnichannel_role_permission SET role = 'desk' WHERE role = 'admin';
    DELETE FROM omnichannel_role_permission WHERE role <> 'desk'`)
  t.match((await command('user', 'add', 'ann', '--name', 'Ann')).err, /only admin\), .* with one of desk\n$/)
  database.exec("UPDATE omnichannel_role_permission SET permission = 'view-livechat-contact'")
  t.match((await command('user', 'add', 'ann', '--role', 'desk')).err,
    /^Warning: user ann has no role that may .* \(only admin, desk\), .*; no role has the permission update-livechat-contact\n$/)
})

t.test('token create: printed once, stored as a hash, valid until it is revoked', async (t) => {
  const { file, command, tables } = createDatabase(t)
  await command('user', 'add', 'ann', '--role', 'livechat-agent')
  const { code, out, err } = await command('token', 'create', 'ann', '--name', 'crm', '--expires', '30d')
  t.equal(code, 0)
  t.match(out, /^[\w-]{43}\n$/)
  const [row] = (await tables()).omnichannel_auth_token as Array<Record<string, string>>
  t.equal(err, `The token expires at ${row!.expires_at}\nA call sends it as X-Auth-Token, with X-User-Id: ann\n`)
  t.match(row, { hashed_token: hashToken(out.trim()), user_id: 'ann', name: 'crm' })
  t.equal(Math.round((Date.parse(row!.expires_at!) - Date.now()) / 86_400_000), 30)

  const { url } = await serve(t, ['--database', file])
  const statusOfCall = async () => (await fetch(url + path, { method: 'POST', headers: { 'x-user-id': 'ann', 'x-auth-token': out.trim() } })).status
  t.equal(await statusOfCall(), 400, 'accepted, but there is no body')
  t.match((await command('token', 'revoke', 'ann', 'crm')).out, /^Revoked token .{12} of user ann\n$/)
  t.equal(await statusOfCall(), 401)
})

/** Two users: ann with two tokens of one name, and bob with another token. */
async function createTokens (t: Test) {
  const created = createDatabase(t)
  const { command } = created
  for (const user of ['ann', 'bob']) await command('user', 'add', user)
  await command('token', 'create', 'ann', '--name', 'crm', '--expires', '2999-01-31T12:00:00Z')
  await command('token', 'create', 'ann', '--name', 'crm')
  await command('token', 'create', 'bob')
  const linesOfList = async (...argv: string[]) => (await command('token', 'list', ...argv)).out.trimEnd().split('\n')
  return { ...created, linesOfList }
}

t.test('token list: the tokens of all users, or of one', async (t) => {
  const { linesOfList } = await createTokens(t)
  const [head, ...tokens] = await linesOfList('ann')
  t.match(head, /^USER +NAME +HASH +CREATED +EXPIRES$/)
  t.strictSame(tokens.map((line) => line.split(/ {2,}/).at(-1)).sort(), ['2999-01-31T12:00:00.000Z', 'never'])
  t.equal((await linesOfList()).length, 1 + 3)
})

t.test('token revoke: one token of that user, by its name or the start of its hash', async (t) => {
  const { command, tables, linesOfList } = await createTokens(t)
  t.match(await command('token', 'revoke', 'ann', 'crm'), { code: 1, err: 'User ann has 2 tokens crm: name one by its hash, see token list ann\n' })
  const stored = (await tables()).omnichannel_auth_token as Array<Record<string, string>>
  const hash = stored.find((row) => row.user_id === 'ann')!.hashed_token!
  t.equal((await command('token', 'revoke', 'bob', hash.slice(0, 12))).code, 1, 'not a token of bob')
  t.equal((await command('token', 'revoke', 'ann', '--', hash.slice(0, 12))).code, 0)
  t.equal((await linesOfList('ann')).length, 1 + 1)
})

t.test('token create --expires: a duration, a date or a time, and stderr has the resulting time', async (t) => {
  const { command, tables } = createDatabase(t)
  await command('user', 'add', 'ann', '--role', 'admin')
  const day = 86_400_000
  /** The option, and the milliseconds from now or the time. */
  const scenarios: Array<[when: string, expected: number | string]> = [
    ['90d', 90 * day], ['12h', day / 2], ['P90D', 90 * day], ['P2W', 14 * day], ['PT12H', day / 2], ['P1DT12H', 1.5 * day], ['PT30M', day / 48],
    ['2999-01-31', '2999-01-31T00:00:00.000Z'], ['2996-02-29', '2996-02-29T00:00:00.000Z'],
    ['2999-01-31T12:00Z', '2999-01-31T12:00:00.000Z'], ['2999-01-31T12:00:00.5+02:00', '2999-01-31T10:00:00.500Z']
  ]
  for (const [when, expected] of scenarios) {
    const now = Date.now()
    const { code, err } = await command('token', 'create', 'ann', '--name', when, '--expires', when)
    t.equal(code, 0, when)
    const expiresAt = /^The token expires at (.*)$/m.exec(err)?.[1] ?? ''
    if (typeof expected === 'string') t.equal(expiresAt, expected, when)
    else t.ok(Math.abs(Date.parse(expiresAt) - now - expected) < 60_000, when)
    t.match((await tables()).omnichannel_auth_token!.find((row) => (row as { name: string }).name === when), { expires_at: expiresAt }, when)
  }
  t.match(await command('token', 'create', 'ann'), { err: /^The token does not expire\n/ })
})

t.test('user add with an id that a header cannot carry: refused with the reason', async (t) => {
  const { command, tables } = createDatabase(t)
  await command('user', 'add', 'ann', '--role', 'admin')
  const before = await tables()
  for (const id of ['é', ' ann', 'ann ', '\tann', 'a\nb', 'a\tb', 'a\x7f', 'a\x9b', '漢', 'a\u202e']) {
    const { code, out, err } = await command('user', 'add', '--role', 'admin', '--', id)
    t.strictSame([code, out], [2, ''], id)
    t.match(err, /: it must have only ASCII .*, and no blank at its beginning or end, because calls send it in a header; see user add --help\n$/, id)
  }
  t.strictSame(await tables(), before)
  for (const id of ['a', 'ann lee', "~!@#$%^&*()_+|'"]) t.match(await command('user', 'add', id, '--role', 'admin'), { code: 0, err: '' }, id)
})

t.test('token create for a user whose id a header cannot carry: a warning', async (t) => {
  const { file, command } = createDatabase(t)
  await command('user', 'add', 'ann', '--role', 'admin')
  withDatabase(file, (database) => database.exec("UPDATE omnichannel_user SET id = 'é'; UPDATE omnichannel_user_role SET user_id = 'é'"))
  t.match(await command('token', 'create', 'é'), { code: 0, err: /\nWarning: a header cannot carry this id, so its calls will be answered with 401\n$/ })
})

t.test('blank values and operands: exit code 2', async (t) => {
  const { command, tables } = createDatabase(t)
  await command('user', 'add', 'ann', '--role', 'admin')
  const before = await tables()
  const scenarios = [
    ['user', 'add', ''], ['user', 'add', 'ann', '--name', ''], ['user', 'add', 'ann', '--username', ' '], ['user', 'add', 'ann', '--role='],
    ['user', 'remove', ''], ['user', 'activate', ' '], ['user', 'deactivate', ''],
    ['token', 'create', ''], ['token', 'create', 'ann', '--name', ''], ['token', 'create', 'ann', '--expires', ''],
    ['token', 'list', ''], ['token', 'revoke', 'ann', ''],
    ['contact', ''], ['contact', 'list', '--search', '\t'], ['contact', 'list', '--limit', ''],
    ['import', '--contacts', ''], ['import', '--folder', ''], ['import', '--on-error', ''], ['import', '--batch', ''],
    ['backup', ''], ['copy', '', 'postgres://localhost/a'], ['copy', 'a.db', ''],
    ['serve', '--database', ''], ['serve', '--host', ''], ['serve', '--port', ''], ['serve', '--log-level', ''], ['serve', '--trust-proxy', '']
  ]
  for (const argv of scenarios) {
    const { code, out, err } = await command(...argv)
    t.strictSame([code, out], [2, ''], argv.join(' '))
    t.match(err, /: it must not be blank; see [a-z ]+ --help\n$/, argv.join(' '))
  }
  t.strictSame(await tables(), before)
})

t.test('a refused command: one sentence, and nothing is stored', async (t) => {
  const { command, tables } = createDatabase(t)
  t.match(await command('user', 'list'), { code: 1, err: /^There is no database file .*users\.db: name another, or make one with the command migrate\n$/ })
  await command('user', 'add', 'ann')
  const before = await tables()
  const invalidExpiry = (when: string) => `Option '--expires <WHEN>' argument '${when}' is invalid: ` +
    'it must be a duration such as 90d, 12h or P90D, or a future date or time such as 2027-01-31 or 2027-01-31T12:00:00Z; see token create --help'
  const invalidTimes = ['2027', '30', '9999999d', '0d', 'x 2030', '2027-02-30', '2027-13-01', '2027-01-31T12:00:00', '2027-01-31 12:00Z', '2027-01-31T25:00Z',
    '1.5d', '-1d', '90D', 'P', 'PT', 'P1Y', 'Jan 31, 2030', '31/01/2030', 'tomorrow', '2e3d', '+012345-01-01']
  const scenarios: Array<[argv: string[], code: number, sentence: string]> = [
    [['user', 'remove', 'eve'], 1, 'There is no user eve; see user list'],
    [['user', 'activate', 'eve'], 1, 'There is no user eve; see user list'],
    [['user', 'deactivate', 'eve'], 1, 'There is no user eve; see user list'],
    [['token', 'create', 'eve'], 1, 'There is no user eve; see user list'],
    [['token', 'revoke', 'eve', 'crm'], 1, 'There is no user eve; see user list'],
    [['token', 'create', 'ann', '--expires', 'soon'], 2, invalidExpiry('soon')],
    [['token', 'create', 'ann', '--expires', '2001-01-01'], 2, invalidExpiry('2001-01-01')],
    ...invalidTimes.map((when): [string[], number, string] => [['token', 'create', 'ann', `--expires=${when}`], 2, invalidExpiry(when)]),
    [['token', 'revoke', 'ann', 'crm'], 1, 'User ann has no token crm; see token list ann'],
    [['contact', 'maria'], 1, 'There is no contact maria, or it is disabled; contact list --search finds an id']
  ]
  for (const [argv, code, sentence] of scenarios) {
    t.strictSame(await command(...argv), { code, out: '', err: `${sentence}\n` }, argv.join(' '))
  }
  t.strictSame(await tables(), before)
})
