// Made by `npm run generate` of the SQL files beside it.

import type { Schema } from '../required-tables.js'

export const sqlite: Schema = {
  "version": 3,
  "prefix": "main.",
  "tables": {
    "omnichannel_user": {
      "id": "TEXT",
      "username": "TEXT",
      "name": "TEXT",
      "active": "INTEGER"
    },
    "omnichannel_user_role": {
      "user_id": "TEXT",
      "role": "TEXT"
    },
    "omnichannel_role_permission": {
      "role": "TEXT",
      "permission": "TEXT"
    },
    "omnichannel_auth_token": {
      "hashed_token": "TEXT",
      "user_id": "TEXT",
      "name": "TEXT",
      "created_at": "TEXT",
      "expires_at": "TEXT"
    },
    "omnichannel_custom_field": {
      "id": "TEXT",
      "label": "TEXT",
      "scope": "TEXT",
      "visibility": "TEXT",
      "required": "INTEGER",
      "regexp": "TEXT"
    },
    "omnichannel_contact": {
      "id": "TEXT",
      "name": "TEXT",
      "contact_manager": "TEXT",
      "custom_fields": "TEXT",
      "conflicting_fields": "TEXT",
      "unknown": "INTEGER",
      "pre_registration": "INTEGER",
      "last_chat_id": "TEXT",
      "last_chat_at": "TEXT",
      "enabled": "INTEGER",
      "version": "INTEGER",
      "created_at": "TEXT",
      "updated_at": "TEXT",
      "update_id": "TEXT"
    },
    "omnichannel_contact_email": {
      "contact_id": "TEXT",
      "position": "INTEGER",
      "address": "TEXT"
    },
    "omnichannel_contact_phone": {
      "contact_id": "TEXT",
      "position": "INTEGER",
      "phone_number": "TEXT"
    },
    "omnichannel_contact_channel": {
      "contact_id": "TEXT",
      "position": "INTEGER",
      "name": "TEXT",
      "visitor_id": "TEXT",
      "source_type": "TEXT",
      "source_id": "TEXT",
      "blocked": "INTEGER",
      "verified": "INTEGER",
      "verified_at": "TEXT",
      "field": "TEXT",
      "value": "TEXT",
      "details": "TEXT",
      "last_chat_id": "TEXT",
      "last_chat_at": "TEXT"
    },
    "omnichannel_room": {
      "id": "TEXT",
      "contact_id": "TEXT",
      "fname": "TEXT",
      "updated_at": "TEXT"
    },
    "omnichannel_subscription": {
      "id": "TEXT",
      "room_id": "TEXT",
      "visitor_id": "TEXT",
      "name": "TEXT",
      "fname": "TEXT",
      "updated_at": "TEXT"
    },
    "omnichannel_inquiry": {
      "id": "TEXT",
      "room_id": "TEXT",
      "visitor_id": "TEXT",
      "name": "TEXT",
      "updated_at": "TEXT"
    },
    "omnichannel_statistic": {
      "name": "TEXT",
      "value": "INTEGER"
    },
    "omnichannel_migration": {
      "id": "INTEGER",
      "applied_at": "TEXT"
    },
    "omnichannel_idempotency_key": {
      "user_id": "TEXT",
      "key": "TEXT",
      "fingerprint": "TEXT",
      "contact_id": "TEXT",
      "version": "INTEGER",
      "answer": "TEXT",
      "created_at": "TEXT"
    }
  },
  "parts": [
    {
      "migration": 1,
      "sql": "-- The tables behind POST /api/v1/omnichannel/contacts.update, as one script that may run any number of times.\n--\n-- They live in the host's database, so every name starts with omnichannel_.\n--   times     ISO-8601 UTC text with milliseconds: 2026-01-31T09:15:00.000Z\n--   booleans  0 or 1\n--   JSON      text, checked for validity and type\n--\n-- A host that keeps its own users, roles, rooms, subscriptions or inquiries may create a view with the name and\n-- the columns of our table first; CREATE TABLE IF NOT EXISTS then leaves the view alone. INSTEAD OF UPDATE triggers\n-- let renames through. A view can be neither indexed nor referenced, so these tables have no separate index and no\n-- foreign key: their primary key begins with the column that they are searched by."
    },
    {
      "migration": 1,
      "sql": "-- Who may call. A user that is not active is refused, whatever token it holds.\nCREATE TABLE IF NOT EXISTS omnichannel_user (\n  id       TEXT    NOT NULL PRIMARY KEY,\n  username TEXT    NOT NULL DEFAULT '',\n  name     TEXT    NOT NULL DEFAULT '',\n  active   INTEGER NOT NULL DEFAULT 1 CHECK (active IN (0, 1))\n) STRICT, WITHOUT ROWID;",
      "creates": "omnichannel_user"
    },
    {
      "migration": 1,
      "sql": "-- The roles of a user. Only a user with the role livechat-agent can be a contact's manager.\nCREATE TABLE IF NOT EXISTS omnichannel_user_role (\n  user_id TEXT NOT NULL,\n  role    TEXT NOT NULL,\n  PRIMARY KEY (user_id, role)\n) STRICT, WITHOUT ROWID;",
      "creates": "omnichannel_user_role"
    },
    {
      "migration": 1,
      "sql": "-- The permissions of a role: the update needs update-livechat-contact.\nCREATE TABLE IF NOT EXISTS omnichannel_role_permission (\n  role       TEXT NOT NULL,\n  permission TEXT NOT NULL,\n  PRIMARY KEY (permission, role)\n) STRICT, WITHOUT ROWID;",
      "creates": "omnichannel_role_permission"
    },
    {
      "migration": 1,
      "sql": "-- Personal access tokens. Only the base64 of the SHA-256 of a token is stored, never the token.\nCREATE TABLE IF NOT EXISTS omnichannel_auth_token (\n  hashed_token TEXT NOT NULL PRIMARY KEY,\n  user_id      TEXT NOT NULL,\n  name         TEXT NOT NULL DEFAULT '',\n  created_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))\n               CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at)),\n  -- NULL: never expires\n  expires_at   TEXT CHECK (expires_at IS strftime('%Y-%m-%dT%H:%M:%fZ', expires_at))\n) STRICT, WITHOUT ROWID;",
      "creates": "omnichannel_auth_token"
    },
    {
      "migration": 1,
      "sql": "-- What a contact's customFields may hold. A definition counts when its scope is 'visitor' and its visibility is\n-- not 'hidden'. Definitions are checked in the order in which they were inserted.\nCREATE TABLE IF NOT EXISTS omnichannel_custom_field (\n  id         TEXT    NOT NULL PRIMARY KEY,\n  -- named in error messages; the id stands in for an empty label\n  label      TEXT    NOT NULL DEFAULT '',\n  scope      TEXT    NOT NULL DEFAULT 'visitor',\n  visibility TEXT    NOT NULL DEFAULT 'visible',\n  required   INTEGER NOT NULL DEFAULT 0 CHECK (required IN (0, 1)),\n  -- a JavaScript pattern, without flags and unanchored; empty: any text\n  regexp     TEXT    NOT NULL DEFAULT ''\n) STRICT;",
      "creates": "omnichannel_custom_field"
    },
    {
      "migration": 1,
      "sql": "-- One row a contact.\nCREATE TABLE IF NOT EXISTS omnichannel_contact (\n  id                 TEXT    NOT NULL PRIMARY KEY CHECK (id <> ''),\n  name               TEXT    NOT NULL,\n  -- the id of a user with the role livechat-agent; NULL: none\n  contact_manager    TEXT,\n  -- an object: custom field id to text\n  custom_fields      TEXT    NOT NULL DEFAULT '{}'\n                     CHECK (json_valid(custom_fields) AND json_type(custom_fields) = 'object'),\n  -- an array of {field, value}; field is name, manager or customFields.<id>\n  conflicting_fields TEXT    NOT NULL DEFAULT '[]'\n                     CHECK (json_valid(conflicting_fields) AND json_type(conflicting_fields) = 'array'),\n  -- 1: nobody has saved the contact by hand yet\n  unknown            INTEGER NOT NULL DEFAULT 0 CHECK (unknown IN (0, 1)),\n  pre_registration   INTEGER NOT NULL DEFAULT 0 CHECK (pre_registration IN (0, 1)),\n  -- the room of the last conversation, and when it was\n  last_chat_id       TEXT,\n  last_chat_at       TEXT    CHECK (last_chat_at IS strftime('%Y-%m-%dT%H:%M:%fZ', last_chat_at)),\n  -- 0: for the API the contact does not exist\n  enabled            INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),\n  -- one more with each update\n  version            INTEGER NOT NULL DEFAULT 1,\n  created_at         TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))\n                     CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at)),\n  updated_at         TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))\n                     CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at)),\n  CHECK ((last_chat_id IS NULL) = (last_chat_at IS NULL))\n) STRICT, WITHOUT ROWID;",
      "creates": "omnichannel_contact"
    },
    {
      "migration": 1,
      "sql": "-- A contact's e-mail addresses, verbatim, in order.\nCREATE TABLE IF NOT EXISTS omnichannel_contact_email (\n  contact_id TEXT    NOT NULL REFERENCES omnichannel_contact (id) ON DELETE CASCADE,\n  position   INTEGER NOT NULL CHECK (position >= 0),\n  address    TEXT    NOT NULL,\n  PRIMARY KEY (contact_id, position)\n) STRICT, WITHOUT ROWID;",
      "creates": "omnichannel_contact_email"
    },
    {
      "migration": 1,
      "sql": "CREATE INDEX IF NOT EXISTS omnichannel_contact_email_address ON omnichannel_contact_email (address);",
      "table": "omnichannel_contact_email",
      "creates": "omnichannel_contact_email_address"
    },
    {
      "migration": 1,
      "sql": "-- A contact's phone numbers, verbatim, in order.\nCREATE TABLE IF NOT EXISTS omnichannel_contact_phone (\n  contact_id   TEXT    NOT NULL REFERENCES omnichannel_contact (id) ON DELETE CASCADE,\n  position     INTEGER NOT NULL CHECK (position >= 0),\n  phone_number TEXT    NOT NULL,\n  PRIMARY KEY (contact_id, position)\n) STRICT, WITHOUT ROWID;",
      "creates": "omnichannel_contact_phone"
    },
    {
      "migration": 1,
      "sql": "CREATE INDEX IF NOT EXISTS omnichannel_contact_phone_number ON omnichannel_contact_phone (phone_number);",
      "table": "omnichannel_contact_phone",
      "creates": "omnichannel_contact_phone_number"
    },
    {
      "migration": 1,
      "sql": "-- The channels through which a contact has written, each of them with its visitor. Never changed by an update.\nCREATE TABLE IF NOT EXISTS omnichannel_contact_channel (\n  contact_id   TEXT    NOT NULL REFERENCES omnichannel_contact (id) ON DELETE CASCADE,\n  position     INTEGER NOT NULL CHECK (position >= 0),\n  name         TEXT    NOT NULL,\n  visitor_id   TEXT    NOT NULL,\n  source_type  TEXT    NOT NULL CHECK (source_type IN ('widget', 'email', 'sms', 'app', 'api', 'other')),\n  source_id    TEXT,\n  blocked      INTEGER NOT NULL DEFAULT 0 CHECK (blocked IN (0, 1)),\n  verified     INTEGER NOT NULL DEFAULT 0 CHECK (verified IN (0, 1)),\n  verified_at  TEXT    CHECK (verified_at IS strftime('%Y-%m-%dT%H:%M:%fZ', verified_at)),\n  field        TEXT,\n  value        TEXT,\n  -- a free object; the API adds the type of the source where it has none\n  details      TEXT    NOT NULL DEFAULT '{}' CHECK (json_valid(details) AND json_type(details) = 'object'),\n  last_chat_id TEXT,\n  last_chat_at TEXT    CHECK (last_chat_at IS strftime('%Y-%m-%dT%H:%M:%fZ', last_chat_at)),\n  PRIMARY KEY (contact_id, position),\n  CHECK ((last_chat_id IS NULL) = (last_chat_at IS NULL))\n) STRICT, WITHOUT ROWID;",
      "creates": "omnichannel_contact_channel"
    },
    {
      "migration": 1,
      "sql": "CREATE INDEX IF NOT EXISTS omnichannel_contact_channel_visitor ON omnichannel_contact_channel (visitor_id);",
      "table": "omnichannel_contact_channel",
      "creates": "omnichannel_contact_channel_visitor"
    },
    {
      "migration": 1,
      "sql": "-- Conversations, open and closed; a rename of the contact is carried to fname.\nCREATE TABLE IF NOT EXISTS omnichannel_room (\n  id         TEXT NOT NULL UNIQUE,\n  contact_id TEXT NOT NULL,\n  fname      TEXT NOT NULL DEFAULT '',\n  updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))\n             CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at)),\n  PRIMARY KEY (contact_id, id)\n) STRICT, WITHOUT ROWID;",
      "creates": "omnichannel_room"
    },
    {
      "migration": 1,
      "sql": "-- An agent's entry for a room; a rename is carried to name and fname.\nCREATE TABLE IF NOT EXISTS omnichannel_subscription (\n  id         TEXT NOT NULL UNIQUE,\n  room_id    TEXT NOT NULL DEFAULT '',\n  visitor_id TEXT NOT NULL,\n  name       TEXT NOT NULL DEFAULT '',\n  fname      TEXT NOT NULL DEFAULT '',\n  updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))\n             CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at)),\n  PRIMARY KEY (visitor_id, id)\n) STRICT, WITHOUT ROWID;",
      "creates": "omnichannel_subscription"
    },
    {
      "migration": 1,
      "sql": "-- A conversation that waits in the queue; a rename is carried to name.\nCREATE TABLE IF NOT EXISTS omnichannel_inquiry (\n  id         TEXT NOT NULL UNIQUE,\n  room_id    TEXT NOT NULL DEFAULT '',\n  visitor_id TEXT NOT NULL,\n  name       TEXT NOT NULL DEFAULT '',\n  updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))\n             CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at)),\n  PRIMARY KEY (visitor_id, id)\n) STRICT, WITHOUT ROWID;",
      "creates": "omnichannel_inquiry"
    },
    {
      "migration": 1,
      "sql": "-- Counters, such as Resolved_Conflicts_Count.\nCREATE TABLE IF NOT EXISTS omnichannel_statistic (\n  name  TEXT    NOT NULL PRIMARY KEY,\n  value INTEGER NOT NULL DEFAULT 0\n) STRICT, WITHOUT ROWID;",
      "creates": "omnichannel_statistic"
    },
    {
      "migration": 1,
      "sql": "-- Which versions of this script ran, and when.\nCREATE TABLE IF NOT EXISTS omnichannel_migration (\n  id         INTEGER NOT NULL PRIMARY KEY,\n  applied_at TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))\n             CHECK (applied_at IS strftime('%Y-%m-%dT%H:%M:%fZ', applied_at))\n) STRICT;",
      "creates": "omnichannel_migration"
    },
    {
      "migration": 2,
      "sql": "-- Answers that are remembered for an Idempotency-Key, so that a repeated request is not done twice.\nCREATE TABLE IF NOT EXISTS omnichannel_idempotency_key (\n  user_id     TEXT    NOT NULL,\n  key         TEXT    NOT NULL CHECK (length(key) BETWEEN 1 AND 255),\n  -- the base64 of the SHA-256 of what was asked for\n  fingerprint TEXT    NOT NULL,\n  contact_id  TEXT    NOT NULL,\n  -- the contact's version in the answer\n  version     INTEGER NOT NULL,\n  -- the body of the answer, byte for byte\n  answer      TEXT    NOT NULL,\n  created_at  TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))\n              CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at)),\n  PRIMARY KEY (user_id, key)\n) STRICT;",
      "creates": "omnichannel_idempotency_key"
    },
    {
      "migration": 2,
      "sql": "CREATE INDEX IF NOT EXISTS omnichannel_idempotency_key_contact ON omnichannel_idempotency_key (contact_id);",
      "table": "omnichannel_idempotency_key",
      "creates": "omnichannel_idempotency_key_contact"
    },
    {
      "migration": 2,
      "sql": "CREATE INDEX IF NOT EXISTS omnichannel_idempotency_key_created ON omnichannel_idempotency_key (created_at);",
      "table": "omnichannel_idempotency_key",
      "creates": "omnichannel_idempotency_key_created"
    },
    {
      "migration": 2,
      "sql": "-- An answer holds a contact, so it goes when the contact goes, also where a host has turned foreign keys off.\nCREATE TRIGGER IF NOT EXISTS omnichannel_contact_forgotten AFTER DELETE ON omnichannel_contact BEGIN\n  DELETE FROM omnichannel_idempotency_key WHERE contact_id = OLD.id;\nEND;",
      "table": "omnichannel_contact",
      "creates": "omnichannel_contact_forgotten"
    },
    {
      "migration": 3,
      "sql": "-- the id of the contact's last update: 16 random bytes in lower-case hex.\nALTER TABLE main.omnichannel_contact ADD COLUMN update_id TEXT;",
      "table": "omnichannel_contact",
      "creates": "omnichannel_contact.update_id"
    },
    {
      "migration": 3,
      "sql": "-- REPLACE deletes a row without firing delete triggers. So an insert deletes the stored answers for the contact's id too.\nCREATE TRIGGER IF NOT EXISTS main.omnichannel_contact_added AFTER INSERT ON omnichannel_contact BEGIN\n  DELETE FROM omnichannel_idempotency_key WHERE contact_id = NEW.id;\nEND;",
      "table": "omnichannel_contact",
      "creates": "omnichannel_contact_added"
    },
    {
      "migration": 3,
      "sql": "-- Deletes the stored answers of a contact that gets another id, and of one that UPDATE OR REPLACE has deleted for it.\nCREATE TRIGGER IF NOT EXISTS main.omnichannel_contact_renumbered AFTER UPDATE OF id ON omnichannel_contact WHEN OLD.id <> NEW.id BEGIN\n  DELETE FROM omnichannel_idempotency_key WHERE contact_id IN (OLD.id, NEW.id);\nEND;",
      "table": "omnichannel_contact",
      "creates": "omnichannel_contact_renumbered"
    }
  ]
}

export const postgres: Schema = {
  "version": 3,
  "prefix": "",
  "tables": {
    "omnichannel_user": {
      "id": "text",
      "username": "text",
      "name": "text",
      "active": "boolean"
    },
    "omnichannel_user_role": {
      "user_id": "text",
      "role": "text"
    },
    "omnichannel_role_permission": {
      "role": "text",
      "permission": "text"
    },
    "omnichannel_auth_token": {
      "hashed_token": "text",
      "user_id": "text",
      "name": "text",
      "created_at": "timestamptz",
      "expires_at": "timestamptz"
    },
    "omnichannel_custom_field": {
      "id": "text",
      "label": "text",
      "scope": "text",
      "visibility": "text",
      "required": "boolean",
      "regexp": "text",
      "position": "bigint"
    },
    "omnichannel_contact": {
      "id": "text",
      "name": "text",
      "contact_manager": "text",
      "custom_fields": "json",
      "conflicting_fields": "json",
      "unknown": "boolean",
      "pre_registration": "boolean",
      "last_chat_id": "text",
      "last_chat_at": "timestamptz",
      "enabled": "boolean",
      "version": "integer",
      "created_at": "timestamptz",
      "updated_at": "timestamptz",
      "update_id": "text"
    },
    "omnichannel_contact_email": {
      "contact_id": "text",
      "position": "integer",
      "address": "text"
    },
    "omnichannel_contact_phone": {
      "contact_id": "text",
      "position": "integer",
      "phone_number": "text"
    },
    "omnichannel_contact_channel": {
      "contact_id": "text",
      "position": "integer",
      "name": "text",
      "visitor_id": "text",
      "source_type": "text",
      "source_id": "text",
      "blocked": "boolean",
      "verified": "boolean",
      "verified_at": "timestamptz",
      "field": "text",
      "value": "text",
      "details": "json",
      "last_chat_id": "text",
      "last_chat_at": "timestamptz"
    },
    "omnichannel_room": {
      "id": "text",
      "contact_id": "text",
      "fname": "text",
      "updated_at": "timestamptz"
    },
    "omnichannel_subscription": {
      "id": "text",
      "room_id": "text",
      "visitor_id": "text",
      "name": "text",
      "fname": "text",
      "updated_at": "timestamptz"
    },
    "omnichannel_inquiry": {
      "id": "text",
      "room_id": "text",
      "visitor_id": "text",
      "name": "text",
      "updated_at": "timestamptz"
    },
    "omnichannel_statistic": {
      "name": "text",
      "value": "bigint"
    },
    "omnichannel_migration": {
      "id": "integer",
      "applied_at": "timestamptz"
    },
    "omnichannel_idempotency_key": {
      "user_id": "text",
      "key": "text",
      "fingerprint": "text",
      "contact_id": "text",
      "version": "integer",
      "answer": "text",
      "created_at": "timestamptz"
    }
  },
  "parts": [
    {
      "migration": 2,
      "sql": "-- The tables behind POST /api/v1/omnichannel/contacts.update, as one script that may run any number of times.\n--\n-- They live in the host's database, in the schema that search_path names first, so every name starts with omnichannel_.\n--   times  in milliseconds\n--   JSON   as json, which keeps the order of keys and every character, where jsonb would not\n--   text   cannot hold U+0000: it is stored as the two characters U+2400 and 0, and U+2400 before a 0 or 1 as U+2400 and 1\n--\n-- A host that keeps its own users, roles, rooms, subscriptions or inquiries may create a view with the name and\n-- the columns of our table first; CREATE TABLE IF NOT EXISTS then leaves the view alone. A view of one table, or INSTEAD OF\n-- UPDATE triggers, let renames through. A view can be neither indexed nor referenced, so these tables have no separate\n-- index and no foreign key: their primary key begins with the column that they are searched by."
    },
    {
      "migration": 2,
      "sql": "-- Who may call. A user that is not active is refused, whatever token it holds.\nCREATE TABLE IF NOT EXISTS omnichannel_user (\n  id       text    NOT NULL PRIMARY KEY,\n  username text    NOT NULL DEFAULT '',\n  name     text    NOT NULL DEFAULT '',\n  active   boolean NOT NULL DEFAULT true\n);",
      "creates": "omnichannel_user"
    },
    {
      "migration": 2,
      "sql": "-- The roles of a user. Only a user with the role livechat-agent can be a contact's manager.\nCREATE TABLE IF NOT EXISTS omnichannel_user_role (\n  user_id text NOT NULL,\n  role    text NOT NULL,\n  PRIMARY KEY (user_id, role)\n);",
      "creates": "omnichannel_user_role"
    },
    {
      "migration": 2,
      "sql": "-- The permissions of a role: the update needs update-livechat-contact.\nCREATE TABLE IF NOT EXISTS omnichannel_role_permission (\n  role       text NOT NULL,\n  permission text NOT NULL,\n  PRIMARY KEY (permission, role)\n);",
      "creates": "omnichannel_role_permission"
    },
    {
      "migration": 2,
      "sql": "-- Personal access tokens. Only the base64 of the SHA-256 of a token is stored, never the token.\nCREATE TABLE IF NOT EXISTS omnichannel_auth_token (\n  hashed_token text           NOT NULL PRIMARY KEY,\n  user_id      text           NOT NULL,\n  name         text           NOT NULL DEFAULT '',\n  created_at   timestamptz(3) NOT NULL DEFAULT now(),\n  -- NULL: never expires\n  expires_at   timestamptz(3)\n);",
      "creates": "omnichannel_auth_token"
    },
    {
      "migration": 2,
      "sql": "-- What a contact's customFields may hold. A definition counts when its scope is 'visitor' and its visibility is\n-- not 'hidden'. Definitions are checked in the order in which they were inserted.\nCREATE TABLE IF NOT EXISTS omnichannel_custom_field (\n  id         text    NOT NULL PRIMARY KEY,\n  -- named in error messages; the id stands in for an empty label\n  label      text    NOT NULL DEFAULT '',\n  scope      text    NOT NULL DEFAULT 'visitor',\n  visibility text    NOT NULL DEFAULT 'visible',\n  required   boolean NOT NULL DEFAULT false,\n  -- a JavaScript pattern, without flags and unanchored; empty: any text\n  regexp     text    NOT NULL DEFAULT '',\n  -- the order of insertion\n  position   bigint  NOT NULL GENERATED BY DEFAULT AS IDENTITY\n);",
      "creates": "omnichannel_custom_field"
    },
    {
      "migration": 2,
      "sql": "-- One row a contact.\nCREATE TABLE IF NOT EXISTS omnichannel_contact (\n  id                 text           NOT NULL PRIMARY KEY CHECK (id <> ''),\n  name               text           NOT NULL,\n  -- the id of a user with the role livechat-agent; NULL: none\n  contact_manager    text,\n  -- an object: custom field id to text\n  custom_fields      json           NOT NULL DEFAULT '{}' CHECK (json_typeof(custom_fields) = 'object'),\n  -- an array of {field, value}; field is name, manager or customFields.<id>\n  conflicting_fields json           NOT NULL DEFAULT '[]' CHECK (json_typeof(conflicting_fields) = 'array'),\n  -- true: nobody has saved the contact by hand yet\n  unknown            boolean        NOT NULL DEFAULT false,\n  pre_registration   boolean        NOT NULL DEFAULT false,\n  -- the room of the last conversation, and when it was\n  last_chat_id       text,\n  last_chat_at       timestamptz(3),\n  -- false: for the API the contact does not exist\n  enabled            boolean        NOT NULL DEFAULT true,\n  -- one more with each update\n  version            integer        NOT NULL DEFAULT 1,\n  created_at         timestamptz(3) NOT NULL DEFAULT now(),\n  updated_at         timestamptz(3) NOT NULL DEFAULT now(),\n  CHECK ((last_chat_id IS NULL) = (last_chat_at IS NULL))\n);",
      "creates": "omnichannel_contact"
    },
    {
      "migration": 2,
      "sql": "-- A contact's e-mail addresses, verbatim, in order.\nCREATE TABLE IF NOT EXISTS omnichannel_contact_email (\n  contact_id text    NOT NULL REFERENCES omnichannel_contact (id) ON DELETE CASCADE,\n  position   integer NOT NULL CHECK (position >= 0),\n  address    text    NOT NULL,\n  PRIMARY KEY (contact_id, position)\n);",
      "creates": "omnichannel_contact_email"
    },
    {
      "migration": 2,
      "sql": "-- Of its start only: an address may be longer than an entry of an index.\nCREATE INDEX IF NOT EXISTS omnichannel_contact_email_address ON omnichannel_contact_email (left(address, 100) COLLATE \"C\");",
      "table": "omnichannel_contact_email",
      "creates": "omnichannel_contact_email_address"
    },
    {
      "migration": 2,
      "sql": "-- A contact's phone numbers, verbatim, in order.\nCREATE TABLE IF NOT EXISTS omnichannel_contact_phone (\n  contact_id   text    NOT NULL REFERENCES omnichannel_contact (id) ON DELETE CASCADE,\n  position     integer NOT NULL CHECK (position >= 0),\n  phone_number text    NOT NULL,\n  PRIMARY KEY (contact_id, position)\n);",
      "creates": "omnichannel_contact_phone"
    },
    {
      "migration": 2,
      "sql": "CREATE INDEX IF NOT EXISTS omnichannel_contact_phone_number ON omnichannel_contact_phone (left(phone_number, 100) COLLATE \"C\");",
      "table": "omnichannel_contact_phone",
      "creates": "omnichannel_contact_phone_number"
    },
    {
      "migration": 2,
      "sql": "-- The channels through which a contact has written, each of them with its visitor. Never changed by an update.\nCREATE TABLE IF NOT EXISTS omnichannel_contact_channel (\n  contact_id   text           NOT NULL REFERENCES omnichannel_contact (id) ON DELETE CASCADE,\n  position     integer        NOT NULL CHECK (position >= 0),\n  name         text           NOT NULL,\n  visitor_id   text           NOT NULL,\n  source_type  text           NOT NULL CHECK (source_type IN ('widget', 'email', 'sms', 'app', 'api', 'other')),\n  source_id    text,\n  blocked      boolean        NOT NULL DEFAULT false,\n  verified     boolean        NOT NULL DEFAULT false,\n  verified_at  timestamptz(3),\n  field        text,\n  value        text,\n  -- a free object; the API adds the type of the source where it has none\n  details      json           NOT NULL DEFAULT '{}' CHECK (json_typeof(details) = 'object'),\n  last_chat_id text,\n  last_chat_at timestamptz(3),\n  PRIMARY KEY (contact_id, position),\n  CHECK ((last_chat_id IS NULL) = (last_chat_at IS NULL))\n);",
      "creates": "omnichannel_contact_channel"
    },
    {
      "migration": 2,
      "sql": "CREATE INDEX IF NOT EXISTS omnichannel_contact_channel_visitor ON omnichannel_contact_channel (visitor_id);",
      "table": "omnichannel_contact_channel",
      "creates": "omnichannel_contact_channel_visitor"
    },
    {
      "migration": 2,
      "sql": "-- Conversations, open and closed; a rename of the contact is carried to fname.\nCREATE TABLE IF NOT EXISTS omnichannel_room (\n  id         text           NOT NULL UNIQUE,\n  contact_id text           NOT NULL,\n  fname      text           NOT NULL DEFAULT '',\n  updated_at timestamptz(3) NOT NULL DEFAULT now(),\n  PRIMARY KEY (contact_id, id)\n);",
      "creates": "omnichannel_room"
    },
    {
      "migration": 2,
      "sql": "-- An agent's entry for a room; a rename is carried to name and fname.\nCREATE TABLE IF NOT EXISTS omnichannel_subscription (\n  id         text           NOT NULL UNIQUE,\n  room_id    text           NOT NULL DEFAULT '',\n  visitor_id text           NOT NULL,\n  name       text           NOT NULL DEFAULT '',\n  fname      text           NOT NULL DEFAULT '',\n  updated_at timestamptz(3) NOT NULL DEFAULT now(),\n  PRIMARY KEY (visitor_id, id)\n);",
      "creates": "omnichannel_subscription"
    },
    {
      "migration": 2,
      "sql": "-- A conversation that waits in the queue; a rename is carried to name.\nCREATE TABLE IF NOT EXISTS omnichannel_inquiry (\n  id         text           NOT NULL UNIQUE,\n  room_id    text           NOT NULL DEFAULT '',\n  visitor_id text           NOT NULL,\n  name       text           NOT NULL DEFAULT '',\n  updated_at timestamptz(3) NOT NULL DEFAULT now(),\n  PRIMARY KEY (visitor_id, id)\n);",
      "creates": "omnichannel_inquiry"
    },
    {
      "migration": 2,
      "sql": "-- Counters, such as Resolved_Conflicts_Count.\nCREATE TABLE IF NOT EXISTS omnichannel_statistic (\n  name  text   NOT NULL PRIMARY KEY,\n  value bigint NOT NULL DEFAULT 0\n);",
      "creates": "omnichannel_statistic"
    },
    {
      "migration": 2,
      "sql": "-- Which versions of this script ran, and when.\nCREATE TABLE IF NOT EXISTS omnichannel_migration (\n  id         integer        NOT NULL PRIMARY KEY,\n  applied_at timestamptz(3) NOT NULL DEFAULT now()\n);",
      "creates": "omnichannel_migration"
    },
    {
      "migration": 2,
      "sql": "-- Answers that are remembered for an Idempotency-Key, so that a repeated request is not done twice. An answer holds a\n-- contact, so it goes when the contact goes.\nCREATE TABLE IF NOT EXISTS omnichannel_idempotency_key (\n  user_id     text           NOT NULL,\n  key         text           NOT NULL CHECK (length(key) BETWEEN 1 AND 255),\n  -- the base64 of the SHA-256 of what was asked for\n  fingerprint text           NOT NULL,\n  contact_id  text           NOT NULL REFERENCES omnichannel_contact (id) ON DELETE CASCADE,\n  -- the contact's version in the answer\n  version     integer        NOT NULL,\n  -- the body of the answer, byte for byte\n  answer      text           NOT NULL,\n  created_at  timestamptz(3) NOT NULL DEFAULT now(),\n  PRIMARY KEY (user_id, key)\n);",
      "creates": "omnichannel_idempotency_key"
    },
    {
      "migration": 2,
      "sql": "CREATE INDEX IF NOT EXISTS omnichannel_idempotency_key_contact ON omnichannel_idempotency_key (contact_id);",
      "table": "omnichannel_idempotency_key",
      "creates": "omnichannel_idempotency_key_contact"
    },
    {
      "migration": 2,
      "sql": "CREATE INDEX IF NOT EXISTS omnichannel_idempotency_key_created ON omnichannel_idempotency_key (created_at);",
      "table": "omnichannel_idempotency_key",
      "creates": "omnichannel_idempotency_key_created"
    },
    {
      "migration": 3,
      "sql": "-- the id of the contact's last update: 16 random bytes in lower-case hex.\nALTER TABLE omnichannel_contact ADD COLUMN IF NOT EXISTS update_id text;",
      "table": "omnichannel_contact",
      "creates": "omnichannel_contact.update_id"
    },
    {
      "migration": 3,
      "sql": "-- Deletes the stored answers of a contact that gets another id. Otherwise their foreign key would refuse that. BEFORE the\n-- update, because the foreign key is checked right after it.\nCREATE OR REPLACE FUNCTION omnichannel_forget_answers() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN\n  EXECUTE format('DELETE FROM %I.omnichannel_idempotency_key WHERE contact_id = $1', TG_TABLE_SCHEMA) USING OLD.id;\n  RETURN NEW;\nEND $$;\nCREATE OR REPLACE TRIGGER omnichannel_contact_renumbered BEFORE UPDATE OF id ON omnichannel_contact\n  FOR EACH ROW WHEN (OLD.id <> NEW.id) EXECUTE FUNCTION omnichannel_forget_answers();",
      "table": "omnichannel_contact",
      "creates": "omnichannel_contact_renumbered"
    }
  ]
}
