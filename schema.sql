-- The tables behind POST /api/v1/omnichannel/contacts.update, as one script that may run any number of times.
--
-- They live in the host's database, so every name starts with omnichannel_.
--   times     ISO-8601 UTC text with milliseconds: 2026-01-31T09:15:00.000Z
--   booleans  0 or 1
--   JSON      text, checked for validity and type
--
-- A host that keeps its own users, roles, rooms, subscriptions or inquiries may create a view with the name and
-- the columns of our table first; CREATE TABLE IF NOT EXISTS then leaves the view alone. INSTEAD OF UPDATE triggers
-- let renames through. A view can be neither indexed nor referenced, so these tables have no separate index and no
-- foreign key: their primary key begins with the column that they are searched by.

-- Who may call. A user that is not active is refused, whatever token it holds.
CREATE TABLE IF NOT EXISTS omnichannel_user (
  id       TEXT    NOT NULL PRIMARY KEY,
  username TEXT    NOT NULL DEFAULT '',
  name     TEXT    NOT NULL DEFAULT '',
  active   INTEGER NOT NULL DEFAULT 1 CHECK (active IN (0, 1))
) STRICT, WITHOUT ROWID;

-- The roles of a user. Only a user with the role livechat-agent can be a contact's manager.
CREATE TABLE IF NOT EXISTS omnichannel_user_role (
  user_id TEXT NOT NULL,
  role    TEXT NOT NULL,
  PRIMARY KEY (user_id, role)
) STRICT, WITHOUT ROWID;

-- The permissions of a role: the update needs update-livechat-contact.
CREATE TABLE IF NOT EXISTS omnichannel_role_permission (
  role       TEXT NOT NULL,
  permission TEXT NOT NULL,
  PRIMARY KEY (permission, role)
) STRICT, WITHOUT ROWID;

-- Personal access tokens. Only the base64 of the SHA-256 of a token is stored, never the token.
CREATE TABLE IF NOT EXISTS omnichannel_auth_token (
  hashed_token TEXT NOT NULL PRIMARY KEY,
  user_id      TEXT NOT NULL,
  name         TEXT NOT NULL DEFAULT '',
  created_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
               CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at)),
  -- NULL: never expires
  expires_at   TEXT CHECK (expires_at IS strftime('%Y-%m-%dT%H:%M:%fZ', expires_at))
) STRICT, WITHOUT ROWID;

-- What a contact's customFields may hold. A definition counts when its scope is 'visitor' and its visibility is
-- not 'hidden'. Definitions are checked in the order in which they were inserted.
CREATE TABLE IF NOT EXISTS omnichannel_custom_field (
  id         TEXT    NOT NULL PRIMARY KEY,
  -- named in error messages; the id stands in for an empty label
  label      TEXT    NOT NULL DEFAULT '',
  scope      TEXT    NOT NULL DEFAULT 'visitor',
  visibility TEXT    NOT NULL DEFAULT 'visible',
  required   INTEGER NOT NULL DEFAULT 0 CHECK (required IN (0, 1)),
  -- a JavaScript pattern, without flags and unanchored; empty: any text
  regexp     TEXT    NOT NULL DEFAULT ''
) STRICT;

-- One row a contact.
CREATE TABLE IF NOT EXISTS omnichannel_contact (
  id                 TEXT    NOT NULL PRIMARY KEY CHECK (id <> ''),
  name               TEXT    NOT NULL,
  -- the id of a user with the role livechat-agent; NULL: none
  contact_manager    TEXT,
  -- an object: custom field id to text
  custom_fields      TEXT    NOT NULL DEFAULT '{}'
                     CHECK (json_valid(custom_fields) AND json_type(custom_fields) = 'object'),
  -- an array of {field, value}; field is name, manager or customFields.<id>
  conflicting_fields TEXT    NOT NULL DEFAULT '[]'
                     CHECK (json_valid(conflicting_fields) AND json_type(conflicting_fields) = 'array'),
  -- 1: nobody has saved the contact by hand yet
  unknown            INTEGER NOT NULL DEFAULT 0 CHECK (unknown IN (0, 1)),
  pre_registration   INTEGER NOT NULL DEFAULT 0 CHECK (pre_registration IN (0, 1)),
  -- the room of the last conversation, and when it was
  last_chat_id       TEXT,
  last_chat_at       TEXT    CHECK (last_chat_at IS strftime('%Y-%m-%dT%H:%M:%fZ', last_chat_at)),
  -- 0: for the API the contact does not exist
  enabled            INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
  -- one more with each update
  version            INTEGER NOT NULL DEFAULT 1,
  created_at         TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
                     CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at)),
  updated_at         TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
                     CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at)),
  -- the id of the contact's last update: 16 random bytes in lower-case hex.
  update_id          TEXT,
  CHECK ((last_chat_id IS NULL) = (last_chat_at IS NULL))
) STRICT, WITHOUT ROWID;

-- A contact's e-mail addresses, verbatim, in order.
CREATE TABLE IF NOT EXISTS omnichannel_contact_email (
  contact_id TEXT    NOT NULL REFERENCES omnichannel_contact (id) ON DELETE CASCADE,
  position   INTEGER NOT NULL CHECK (position >= 0),
  address    TEXT    NOT NULL,
  PRIMARY KEY (contact_id, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS omnichannel_contact_email_address ON omnichannel_contact_email (address);

-- A contact's phone numbers, verbatim, in order.
CREATE TABLE IF NOT EXISTS omnichannel_contact_phone (
  contact_id   TEXT    NOT NULL REFERENCES omnichannel_contact (id) ON DELETE CASCADE,
  position     INTEGER NOT NULL CHECK (position >= 0),
  phone_number TEXT    NOT NULL,
  PRIMARY KEY (contact_id, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS omnichannel_contact_phone_number ON omnichannel_contact_phone (phone_number);

-- The channels through which a contact has written, each of them with its visitor. Never changed by an update.
CREATE TABLE IF NOT EXISTS omnichannel_contact_channel (
  contact_id   TEXT    NOT NULL REFERENCES omnichannel_contact (id) ON DELETE CASCADE,
  position     INTEGER NOT NULL CHECK (position >= 0),
  name         TEXT    NOT NULL,
  visitor_id   TEXT    NOT NULL,
  source_type  TEXT    NOT NULL CHECK (source_type IN ('widget', 'email', 'sms', 'app', 'api', 'other')),
  source_id    TEXT,
  blocked      INTEGER NOT NULL DEFAULT 0 CHECK (blocked IN (0, 1)),
  verified     INTEGER NOT NULL DEFAULT 0 CHECK (verified IN (0, 1)),
  verified_at  TEXT    CHECK (verified_at IS strftime('%Y-%m-%dT%H:%M:%fZ', verified_at)),
  field        TEXT,
  value        TEXT,
  -- a free object; the API adds the type of the source where it has none
  details      TEXT    NOT NULL DEFAULT '{}' CHECK (json_valid(details) AND json_type(details) = 'object'),
  last_chat_id TEXT,
  last_chat_at TEXT    CHECK (last_chat_at IS strftime('%Y-%m-%dT%H:%M:%fZ', last_chat_at)),
  PRIMARY KEY (contact_id, position),
  CHECK ((last_chat_id IS NULL) = (last_chat_at IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS omnichannel_contact_channel_visitor ON omnichannel_contact_channel (visitor_id);

-- Conversations, open and closed; a rename of the contact is carried to fname.
CREATE TABLE IF NOT EXISTS omnichannel_room (
  id         TEXT NOT NULL UNIQUE,
  contact_id TEXT NOT NULL,
  fname      TEXT NOT NULL DEFAULT '',
  updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
             CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at)),
  PRIMARY KEY (contact_id, id)
) STRICT, WITHOUT ROWID;

-- An agent's entry for a room; a rename is carried to name and fname.
CREATE TABLE IF NOT EXISTS omnichannel_subscription (
  id         TEXT NOT NULL UNIQUE,
  room_id    TEXT NOT NULL DEFAULT '',
  visitor_id TEXT NOT NULL,
  name       TEXT NOT NULL DEFAULT '',
  fname      TEXT NOT NULL DEFAULT '',
  updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
             CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at)),
  PRIMARY KEY (visitor_id, id)
) STRICT, WITHOUT ROWID;

-- A conversation that waits in the queue; a rename is carried to name.
CREATE TABLE IF NOT EXISTS omnichannel_inquiry (
  id         TEXT NOT NULL UNIQUE,
  room_id    TEXT NOT NULL DEFAULT '',
  visitor_id TEXT NOT NULL,
  name       TEXT NOT NULL DEFAULT '',
  updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
             CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at)),
  PRIMARY KEY (visitor_id, id)
) STRICT, WITHOUT ROWID;

-- Counters, such as Resolved_Conflicts_Count.
CREATE TABLE IF NOT EXISTS omnichannel_statistic (
  name  TEXT    NOT NULL PRIMARY KEY,
  value INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- Which versions of this script ran, and when.
CREATE TABLE IF NOT EXISTS omnichannel_migration (
  id         INTEGER NOT NULL PRIMARY KEY,
  applied_at TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
             CHECK (applied_at IS strftime('%Y-%m-%dT%H:%M:%fZ', applied_at))
) STRICT;

-- Answers that are remembered for an Idempotency-Key, so that a repeated request is not done twice.
CREATE TABLE IF NOT EXISTS omnichannel_idempotency_key (
  user_id     TEXT    NOT NULL,
  key         TEXT    NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
  -- the base64 of the SHA-256 of what was asked for
  fingerprint TEXT    NOT NULL,
  contact_id  TEXT    NOT NULL,
  -- the contact's version in the answer
  version     INTEGER NOT NULL,
  -- the body of the answer, byte for byte
  answer      TEXT    NOT NULL,
  created_at  TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
              CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at)),
  PRIMARY KEY (user_id, key)
) STRICT;

CREATE INDEX IF NOT EXISTS omnichannel_idempotency_key_contact ON omnichannel_idempotency_key (contact_id);

CREATE INDEX IF NOT EXISTS omnichannel_idempotency_key_created ON omnichannel_idempotency_key (created_at);

-- An answer holds a contact, so it goes when the contact goes, also where a host has turned foreign keys off.
CREATE TRIGGER IF NOT EXISTS omnichannel_contact_forgotten AFTER DELETE ON omnichannel_contact BEGIN
  DELETE FROM omnichannel_idempotency_key WHERE contact_id = OLD.id;
END;

-- REPLACE deletes a row without firing delete triggers. So an insert deletes the stored answers for the contact's id too.
CREATE TRIGGER IF NOT EXISTS main.omnichannel_contact_added AFTER INSERT ON omnichannel_contact BEGIN
  DELETE FROM omnichannel_idempotency_key WHERE contact_id = NEW.id;
END;

-- Deletes the stored answers of a contact that gets another id, and of one that UPDATE OR REPLACE has deleted for it.
CREATE TRIGGER IF NOT EXISTS main.omnichannel_contact_renumbered AFTER UPDATE OF id ON omnichannel_contact WHEN OLD.id <> NEW.id BEGIN
  DELETE FROM omnichannel_idempotency_key WHERE contact_id IN (OLD.id, NEW.id);
END;
