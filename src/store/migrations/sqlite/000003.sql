-- the id of the contact's last update: 16 random bytes in lower-case hex.
ALTER TABLE main.omnichannel_contact ADD COLUMN update_id TEXT;

-- REPLACE deletes a row without firing delete triggers. So an insert deletes the stored answers for the contact's id too.
CREATE TRIGGER IF NOT EXISTS main.omnichannel_contact_added AFTER INSERT ON omnichannel_contact BEGIN
  DELETE FROM omnichannel_idempotency_key WHERE contact_id = NEW.id;
END;

-- Deletes the stored answers of a contact that gets another id, and of one that UPDATE OR REPLACE has deleted for it.
CREATE TRIGGER IF NOT EXISTS main.omnichannel_contact_renumbered AFTER UPDATE OF id ON omnichannel_contact WHEN OLD.id <> NEW.id BEGIN
  DELETE FROM omnichannel_idempotency_key WHERE contact_id IN (OLD.id, NEW.id);
END;
