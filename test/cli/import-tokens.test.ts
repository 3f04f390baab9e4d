import { join } from 'node:path'
import t, { type Test } from 'tap'
import { lookInto } from './files.js'
import { cli } from './io.js'

function start (t: Test) {
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
    tokens: () => lookInto(file, (database) =>
      database.prepare("SELECT user_id || ' ' || name FROM omnichannel_auth_token ORDER BY 1").pluck().all())
  }
}

t.test('a token that is gone from the export: removed', async (t) => {
  const { importUsers, tokens } = start(t)
  await importUsers({ ann: ['one', 'two'], bob: ['three'] })
  await importUsers({ ann: ['two'], bob: ['three'] })
  t.strictSame(tokens(), ['ann two', 'bob three'])
  await importUsers({ ann: [], bob: ['three', 'four'] }, '--on-error', 'skip')
  t.strictSame(tokens(), ['bob four', 'bob three'])
})

t.test('a token that was made here: kept', async (t) => {
  const { importUsers, tokens, run } = start(t)
  await importUsers({ ann: ['one'] })
  await run('token', 'create', 'ann', '--name', 'here')
  await importUsers({ ann: [] })
  t.strictSame(tokens(), ['ann here'])
  await importUsers({ ann: ['one'] })
  t.strictSame(tokens(), ['ann here', 'ann one'])
})

t.test('a token that was revoked here: comes back while the export has it', async (t) => {
  const { importUsers, tokens, run } = start(t)
  await importUsers({ ann: ['one-token'] })
  t.equal((await run('token', 'revoke', 'ann', 'one-token')).code, 0)
  t.strictSame(tokens(), [])
  await importUsers({ ann: ['one-token'] })
  t.strictSame(tokens(), ['ann one-token'])
})

t.test('a user who is gone from the export: stays, with all tokens', async (t) => {
  const { importUsers, tokens } = start(t)
  await importUsers({ ann: ['one'], bob: ['two'] })
  await importUsers({ bob: [] })
  t.strictSame(tokens(), ['ann one'])
})

t.test('a token that moved to another user: belongs to that user, in either order', async (t) => {
  const { importUsers, tokens } = start(t)
  await importUsers({ ann: ['one'], bob: [] })
  await importUsers({ ann: [], bob: ['one'] })
  t.strictSame(tokens(), ['bob one'])
  await importUsers({ ann: ['one'], bob: [] })
  t.strictSame(tokens(), ['ann one'])
})

t.test('the same token twice in a document: once', async (t) => {
  const { importUsers, tokens } = start(t)
  await importUsers({ ann: ['one', 'one'] })
  t.strictSame(tokens(), ['ann one'])
})

t.test('a dry run: removes nothing', async (t) => {
  const { importUsers, tokens } = start(t)
  await importUsers({ ann: ['one'] })
  await importUsers({ ann: [] }, '--dry-run')
  t.strictSame(tokens(), ['ann one'])
})
