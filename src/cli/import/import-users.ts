import type { Collection } from './collection.js'
import { flag, idOf, list, object, text, textOrNull, timeOrNull, type Document } from './extended-json.js'
import { prepareTokens, type Token } from './imported-tokens.js'
import { sources } from './sources.js'
import { prepareUpsert } from './upsert.js'

/** Documents of users to users, with their roles and their tokens. */
export const users: Collection = {
  name: 'users',
  source: sources.users,
  prepare: (database) => {
    const putUser = prepareUpsert(database, 'omnichannel_user', ['id', 'username', 'name', 'active'])
    const removeRoles = database.prepare('DELETE FROM omnichannel_user_role WHERE user_id = ?')
    const insertRole = database.prepare('INSERT INTO omnichannel_user_role (user_id, role) VALUES (?, ?) ON CONFLICT DO NOTHING')
    const replaceTokens = prepareTokens(database)
    return (document) => {
      const id = idOf(document)
      const user = [
        id,
        textOrNull(document.username, 'username') ?? '',
        textOrNull(document.name, 'name') ?? '',
        flag(document.active, 'active', true)
      ]
      const roles = list(document.roles, 'roles').map((role) => text(role, 'roles'))
      const tokens = readTokens(document)

      const isNew = putUser(user)
      removeRoles.run(id)
      for (const role of roles) insertRole.run(id, role)
      replaceTokens(id, tokens)
      return isNew ? 'new' : 'updated'
    }
  }
}

/** The personal access tokens, so that API clients go on working. Sessions of browsers are not among them. */
function readTokens (user: Document): Token[] {
  const { loginTokens } = object(object(user.services, 'services').resume, 'services.resume')
  return list(loginTokens, 'loginTokens')
    .map((token) => object(token, 'loginTokens'))
    .filter((token) => token.type === 'personalAccessToken')
    .map((token) => ({
      hash: text(token.hashedToken, 'loginTokens.hashedToken'),
      name: textOrNull(token.name, 'loginTokens.name') ?? '',
      // Rocket.Chat's personal access tokens carry the time only since some version.
      when: timeOrNull(token.when ?? token.createdAt, 'loginTokens.when') ?? new Date().toISOString()
    }))
}
