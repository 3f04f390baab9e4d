import { InvalidArgumentError, type Command } from 'commander'
import type { Io } from '../command.js'
import { databaseOption, withDatabase } from '../open-database.js'
import { requireUser } from '../user/no-such-user.js'
import { warnAboutRoles } from '../user/warn-about-roles.js'
import { issueToken } from './issue.js'

interface Options {
  database: string
  name?: string
  expires?: string
}

export function createToken (parent: Command, io: Io): void {
  parent.command('create')
    .summary('Make a token for a user and print it, this once')
    .description('Make a token for a user and print it, this once.\n\n' +
      'The token alone goes to stdout. Only its hash is stored, so it cannot be shown again.')
    .argument('<USER>', 'the id of the user')
    .addOption(databaseOption())
    .option('--name <NAME>', 'what to call it in token list and token revoke')
    .option('--expires <WHEN>', 'a number of days from now, or a time such as 2027-01-31T12:00:00Z (otherwise never)', readExpiry)
    .action((userId: string, { database, name = '', expires }: Options) => withDatabase(database, io, async (db) => {
      await requireUser(db, userId)
      io.stdout.write(`${await issueToken(db, userId, name, expires ?? null)}\n`)
      io.stderr.write(`A call sends it as X-Auth-Token, with X-User-Id: ${userId}\n`)
      await warnAboutRoles(db, userId, [], io)
    }))
}

function readExpiry (when: string): string {
  const time = /^\d+(\.\d+)?$/.test(when) ? new Date(Date.now() + Number(when) * 86_400_000) : new Date(when)
  if (!(time.getTime() > Date.now() && time.getUTCFullYear() <= 9999)) {
    throw new InvalidArgumentError('It must be a number of days or a time to come')
  }
  return time.toISOString()
}
