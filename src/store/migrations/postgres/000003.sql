-- the id of the contact's last update: 16 random bytes in lower-case hex.
ALTER TABLE omnichannel_contact ADD COLUMN IF NOT EXISTS update_id text;

-- Deletes the stored answers of a contact that gets another id. Otherwise their foreign key would refuse that. BEFORE the
-- update, because the foreign key is checked right after it.
CREATE OR REPLACE FUNCTION omnichannel_forget_answers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('DELETE FROM %I.omnichannel_idempotency_key WHERE contact_id = $1', TG_TABLE_SCHEMA) USING OLD.id;
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER omnichannel_contact_renumbered BEFORE UPDATE OF id ON omnichannel_contact
  FOR EACH ROW WHEN (OLD.id <> NEW.id) EXECUTE FUNCTION omnichannel_forget_answers();
