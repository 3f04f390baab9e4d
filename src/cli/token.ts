import { InvalidArgumentError, type Command } from '@commander-js/extra-typings'
import type { Kysely } from 'kysely'
import { randomBytes } from 'node:crypto'
import type { Tables } from '../store/tables.js'
import { databaseOption, withDatabase } from './database.js'
import { CommandError } from './errors.js'
import { print, printOnce, printTable, report } from './output.js'
import { isTime, type Io } from './shared.js'
import { fitsHeader, requireUser, warnAboutRoles } from './user.js'

const shownHashLength = 12
/** A shorter start of a hash does not select a token, so that none is revoked by accident. */
const minHashLength = 6

export function token (program: Command, io: Io): void {
  const group = program.command('token').description("Create, list or revoke a user's tokens")

  group.command('create')
    .summary('Create a token for a user and print it once')
    .description('Create a token for a user and print it once.\n\n' +
      'Only the token goes to stdout. Only its hash is stored, so it cannot be shown again.')
    .argument('<USER>', 'the id of the user')
    .addOption(databaseOption())
    .option('--name <NAME>', 'its name in token list and token revoke')
    .option('--expires <WHEN>', 'a duration such as 90d, 12h, P90D or PT12H, a date such as 2027-01-31 (its beginning in UTC), or a time such as 2027-01-31T12:00:00Z (otherwise never)', readExpiry)
    .action((userId, { database, name = '', expires }) => withDatabase(database, io, 'change', async ({ db }) => {
      await requireUser(db, userId)
      // A token that cannot be printed is not stored.
      await db.transaction().execute(async (transaction) => {
        await printOnce(io, `${await issueToken(transaction, userId, name, expires ?? null)}\n`)
        report(io, expires === undefined ? 'The token does not expire' : `The token expires at ${expires}`)
        report(io, `A call sends it as X-Auth-Token, with X-User-Id: ${userId}`)
        if (!fitsHeader(userId)) report(io, 'Warning: a header cannot carry this id, so its calls will be answered with 401')
        await warnAboutRoles(transaction, userId, [], io)
      })
    }))

  group.command('list')
    .description('List the tokens, of one user or of all')
    .argument('[USER]', 'the id of the user')
    .addOption(databaseOption())
    .action((userId, { database }) => withDatabase(database, io, 'read', async ({ db }) => {
      const tokens = await db
        .selectFrom('omnichannel_auth_token')
        .selectAll()
        .$if(userId !== undefined, (query) => query.where('user_id', '=', userId as string))
        .orderBy('user_id').orderBy('created_at').orderBy('name')
        .execute()
      printTable(io, ['USER', 'NAME', 'HASH', 'CREATED', 'EXPIRES'], tokens.map((token) => [
        token.user_id, token.name, token.hashed_token.slice(0, shownHashLength), token.created_at, token.expires_at ?? 'never'
      ]))
    }))

  group.command('revoke')
    .description('Revoke a token of a user, by its name or the start of its hash')
    .argument('<USER>', 'the id of the user')
    .argument('<NAME|HASH>', 'as token list shows them')
    .addOption(databaseOption())
    .action((userId, wanted, { database }) => withDatabase(database, io, 'change', async ({ db }) => {
      await requireUser(db, userId)
      const tokens = await db.selectFrom('omnichannel_auth_token').select(['hashed_token', 'name']).where('user_id', '=', userId).execute()
      const [found, ...others] = tokens.filter(({ hashed_token: hash, name }) =>
        name === wanted || (wanted.length >= minHashLength && hash.startsWith(wanted)))
      if (found === undefined) throw new CommandError(`User ${userId} has no token ${wanted}; see token list ${userId}`)
      if (others.length > 0) {
        throw new CommandError(`User ${userId} has ${others.length + 1} tokens ${wanted}: name one by its hash, see token list ${userId}`)
      }
      await db.deleteFrom('omnichannel_auth_token').where('hashed_token', '=', found.hashed_token).execute()
      print(io, `Revoked token ${found.hashed_token.slice(0, shownHashLength)} of user ${userId}\n`)
    }))
}

function readExpiry (when: string): string {
  const midnight = `${when}T00:00Z`
  const time = new Date(isTime(when) ? when : isTime(midnight) ? midnight : Date.now() + durationMs(when))
  const isValid = time.getTime() > Date.now() && time.getUTCFullYear() <= 9999
  if (!isValid) {
    throw new InvalidArgumentError('It must be a duration such as 90d, 12h or P90D, or a future date or time such as 2027-01-31 or 2027-01-31T12:00:00Z')
  }
  return time.toISOString()
}

// 90d, 12h, or an ISO 8601 duration of weeks, days, hours and minutes.
const duration = /^(?:\d+[dh]|P(?:\d+W)?(?:\d+D)?(?:T(?=\d)(?:\d+H)?(?:\d+M)?)?)$/
const unitMs = { W: 604_800_000, D: 86_400_000, H: 3_600_000, M: 60_000 }

/** NaN if the text is not a duration. */
function durationMs (text: string): number {
  if (!duration.test(text)) return NaN
  const parts = [...text.toUpperCase().matchAll(/(\d+)([WDHM])/g)]
  return parts.reduce((sum, [, count, unit]) => sum + Number(count) * unitMs[unit as keyof typeof unitMs], 0)
}

/** Stores the hash of a new token and returns the token. */
export async function issueToken (db: Kysely<Tables>, userId: string, name: string, expiresAt: string | null): Promise<string> {
  const { hashToken } = await import('../http/auth.js')
  const token = randomBytes(32).toString('base64url')
  await db
    .insertInto('omnichannel_auth_token')
    .values({ hashed_token: hashToken(token), user_id: userId, name, created_at: new Date().toISOString(), expires_at: expiresAt })
    .execute()
  return token
}
