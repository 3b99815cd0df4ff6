-- A token may live for ever and make as many agents as there are: nothing stands there then.
ALTER TABLE tokens ADD COLUMN ends_at INTEGER;
ALTER TABLE tokens ADD COLUMN most_uses INTEGER;
UPDATE tokens SET ends_at = expires_at, most_uses = max_uses;
ALTER TABLE tokens DROP COLUMN expires_at;
ALTER TABLE tokens DROP COLUMN max_uses;
ALTER TABLE tokens RENAME COLUMN ends_at TO expires_at;
ALTER TABLE tokens RENAME COLUMN most_uses TO max_uses;

-- Whether a token made an agent, and when last.
CREATE INDEX enrolments_by_agent ON enrolments (agent, at);

-- When a token last made one: it was just now that it was used up, or it was long ago.
ALTER TABLE tokens ADD COLUMN last_used_at INTEGER;
UPDATE tokens SET last_used_at = (SELECT max(at) FROM enrolments WHERE enrolments.token = tokens.no);
