import type { Kysely } from 'kysely'
import leven from 'leven'
import type { Tables } from '../../store/tables.js'
import type { Io } from '../command.js'

const permission = 'update-livechat-contact'

/** Says what will happen where a user may not update contacts, or was given a role that no permission names. */
export async function warnAboutRoles (db: Kysely<Tables>, userId: string, given: string[], io: Io): Promise<void> {
  const held = await db.selectFrom('omnichannel_user_role').select('role').where('user_id', '=', userId).orderBy('role').execute()
  const grants = await db.selectFrom('omnichannel_role_permission').select(['role', 'permission']).orderBy('role').execute()
  const roles = held.map(({ role }) => role)
  const known = new Set(grants.map(({ role }) => role))
  const updating = grants.filter((grant) => grant.permission === permission).map(({ role }) => role)

  for (const role of given.filter((role) => !known.has(role))) warn(io, `no permission names the role ${role}${hint(role, known)}`)
  if (!roles.some((role) => updating.includes(role))) {
    const lack = roles.length === 0 ? 'has no role' : `has no role that may update contacts (only ${roles.join(', ')})`
    warn(io, `user ${userId} ${lack}, so its calls will be answered with 403; ${remedy(userId, updating)}`)
  }
}

function hint (role: string, known: Set<string>): string {
  const likely = [...known].find((each) => leven(each, role.toLowerCase()) <= 2)
  return likely === undefined ? '' : `, did you mean ${likely}?`
}

function remedy (userId: string, updating: string[]): string {
  if (updating.length === 0) return `no role has the permission ${permission}`
  return `user add ${userId} --role ROLE helps, with one of ${updating.join(', ')}`
}

function warn (io: Io, sentence: string): void {
  io.stderr.write(`Warning: ${sentence}\n`)
}
