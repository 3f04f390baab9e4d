// Which tokens an import has brought is kept in a table of the command line's own, so that one that is gone from a later
// export goes here too, and one that was made here stays.

import type Database from 'better-sqlite3'
import { prepareUpsert } from './upsert.js'

export interface Token {
  hash: string
  name: string
  when: string
}

const schema = `
  CREATE TABLE IF NOT EXISTS omnichannel_imported_token (
    user_id      TEXT NOT NULL,
    hashed_token TEXT NOT NULL,
    PRIMARY KEY (user_id, hashed_token)
  ) STRICT, WITHOUT ROWID`

/** Returns what gives a user the tokens of its document, in place of those that an earlier import brought. */
export function prepareTokens (database: Database.Database): (userId: string, tokens: Token[]) => void {
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
