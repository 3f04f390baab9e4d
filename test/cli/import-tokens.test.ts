// Personal access tokens: an import makes the tokens of each user in the export equal to those in the export.

import { join } from 'node:path'
import t, { type Test } from 'tap'
import { withDatabase } from './sqlite-files.js'
import { cli } from './run-cli.js'

/** Functions for a new database file. */
function createDatabase (t: Test) {
  const file = join(t.testdir(), 'a.db')
  return {
    run: async (...argv: string[]) => await cli([...argv, '--database', file]),
    /** Imports users by their ids, each with the hashes of its tokens. */
    importUsers: async (users: Record<string, string[]>, ...argv: string[]) => {
      const lines = Object.entries(users).map(([_id, hashes]) => JSON.stringify({
        _id,
        username: _id,
        services: { resume: { loginTokens: hashes.map((hashedToken) => ({ hashedToken, type: 'personalAccessToken', name: hashedToken })) } }
      }))
      t.match(await cli(['import', '--database', file, '--users', '-', ...argv], { stdin: lines.join('\n') }), { code: 0, err: '' })
    },
    tokens: () => withDatabase(file, (database) =>
      database.prepare("SELECT user_id || ' ' || name FROM omnichannel_auth_token ORDER BY 1").pluck().all())
  }
}

/** The users of an export, with the names of their tokens. */
type Users = Record<string, string[]>
const scenarios: Array<[token: string, imports: Users[], stored: string[]]> = [
  ['gone from the export: removed', [{ ann: ['one', 'two'], bob: ['three'] }, { ann: ['two'], bob: ['three'] }], ['ann two', 'bob three']],
  ['new in the export: added', [{ ann: ['one'] }, { ann: ['one', 'two'] }], ['ann one', 'ann two']],
  ['twice in a document: once', [{ ann: ['one', 'one'] }], ['ann one']],
  ['of a user who is gone from the export: kept', [{ ann: ['one'], bob: ['two'] }, { bob: [] }], ['ann one']],
  ['moved to a later user: belongs to that user', [{ ann: ['one'], bob: [] }, { ann: [], bob: ['one'] }], ['bob one']],
  ['moved to an earlier user: belongs to that user', [{ ann: [], bob: ['one'] }, { ann: ['one'], bob: [] }], ['ann one']]
]
for (const [token, imports, stored] of scenarios) {
  t.test(`a token ${token}`, async (t) => {
    for (const argv of [[], ['--on-error', 'skip']]) {
      const { importUsers, tokens } = createDatabase(t)
      for (const users of imports) await importUsers(users, ...argv)
      t.strictSame(tokens(), stored)
    }
  })
}

t.test('a token that was made here: kept', async (t) => {
  const { importUsers, tokens, run } = createDatabase(t)
  await importUsers({ ann: ['one'] })
  await run('token', 'create', 'ann', '--name', 'here')
  await importUsers({ ann: [] })
  t.strictSame(tokens(), ['ann here'])
  await importUsers({ ann: ['one'] })
  t.strictSame(tokens(), ['ann here', 'ann one'])
})

t.test('a token that was revoked here: comes back while the export has it', async (t) => {
  const { importUsers, tokens, run } = createDatabase(t)
  await importUsers({ ann: ['one-token'] })
  t.equal((await run('token', 'revoke', 'ann', 'one-token')).code, 0)
  t.strictSame(tokens(), [])
  await importUsers({ ann: ['one-token'] })
  t.strictSame(tokens(), ['ann one-token'])
})

t.test('a dry run: removes nothing', async (t) => {
  const { importUsers, tokens } = createDatabase(t)
  await importUsers({ ann: ['one'] })
  await importUsers({ ann: [] }, '--dry-run')
  t.strictSame(tokens(), ['ann one'])
})
