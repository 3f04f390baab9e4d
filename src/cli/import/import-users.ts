import type Database from 'better-sqlite3'
import { prepareUpsert, sources, type Collection } from './collection.js'
import { flag, idOf, list, object, text, textOrNull, timeOrNull, type Document } from './extended-json.js'

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

interface Token {
  hash: string
  name: string
  when: string
}

/**
 * The tokens that an import has brought. One that is missing in a later export is removed here too; one that was made here stays.
 */
const schema = `
  CREATE TABLE IF NOT EXISTS omnichannel_imported_token (
    user_id      TEXT NOT NULL,
    hashed_token TEXT NOT NULL,
    PRIMARY KEY (user_id, hashed_token)
  ) STRICT, WITHOUT ROWID`

/** Returns what gives a user the tokens of its document, in place of those that an earlier import brought. */
function prepareTokens (database: Database.Database): (userId: string, tokens: Token[]) => void {
  database.exec(schema)
  const removeGone = database.prepare(`
    DELETE FROM omnichannel_auth_token
    WHERE user_id = :userId
      AND hashed_token IN (SELECT hashed_token FROM omnichannel_imported_token WHERE user_id = :userId)
      AND hashed_token NOT IN (SELECT value FROM json_each(:hashes))`)
  const forget = database.prepare('DELETE FROM omnichannel_imported_token WHERE user_id = ?')
  const put = prepareUpsert(database, 'omnichannel_auth_token', ['hashed_token', 'user_id', 'name', 'created_at'])
  const remember = database.prepare('INSERT INTO omnichannel_imported_token (user_id, hashed_token) VALUES (?, ?) ON CONFLICT DO NOTHING')
  return (userId, tokens) => {
    removeGone.run({ userId, hashes: JSON.stringify(tokens.map(({ hash }) => hash)) })
    forget.run(userId)
    for (const { hash, name, when } of tokens) {
      put([hash, userId, name, when])
      remember.run(userId, hash)
    }
  }
}
