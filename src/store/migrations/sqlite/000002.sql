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
