-- What an operator may say of work, and what its present execution has come to.
ALTER TABLE work ADD COLUMN key TEXT;
ALTER TABLE work ADD COLUMN not_before INTEGER;
ALTER TABLE work ADD COLUMN timeout INTEGER;
ALTER TABLE work ADD COLUMN max_retries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE work ADD COLUMN execution_number INTEGER NOT NULL DEFAULT 1;
ALTER TABLE work ADD COLUMN acknowledged_at INTEGER;
ALTER TABLE work ADD COLUMN deadline INTEGER;
-- A copy of what follows from its other times, to be found by.
ALTER TABLE work ADD COLUMN expires_at INTEGER NOT NULL DEFAULT 0;
-- A time to live may be as long as a number can be.
UPDATE work SET expires_at = created_at + min(ttl, 4000000000000000);
CREATE UNIQUE INDEX work_by_key ON work (agent, key) WHERE key IS NOT NULL;
CREATE INDEX work_by_expiry ON work (expires_at)
    WHERE state IN ('queued', 'delivered') AND acknowledged_at IS NULL;
CREATE INDEX work_by_deadline ON work (deadline)
    WHERE state IN ('delivered', 'running') AND deadline IS NOT NULL;

-- Executions that came to nothing and were followed by another.
CREATE TABLE executions (
    work INTEGER NOT NULL REFERENCES work (no),
    number INTEGER NOT NULL,
    state TEXT NOT NULL,
    delivered_at INTEGER,
    acknowledged_at INTEGER,
    ended_at INTEGER NOT NULL,
    result TEXT
) STRICT;
CREATE UNIQUE INDEX executions_by_work ON executions (work, number);

-- What work has found, one by one.
CREATE TABLE findings (
    no INTEGER PRIMARY KEY,
    tenant INTEGER NOT NULL,
    id TEXT NOT NULL,
    agent INTEGER NOT NULL REFERENCES agents (no),
    work TEXT NOT NULL,
    execution INTEGER NOT NULL,
    test TEXT NOT NULL,
    control TEXT,
    exit_code INTEGER NOT NULL,
    compliant INTEGER,
    detail TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX findings_by_id ON findings (tenant, id);
-- Each index ends in the rowid, which is the order.
CREATE INDEX findings_by_tenant ON findings (tenant);
CREATE INDEX findings_by_agent ON findings (agent);
CREATE INDEX findings_by_work ON findings (tenant, work);
CREATE INDEX findings_by_control ON findings (tenant, control);

-- When an agent was last told which model to run: not before the row last changed, as far as is known.
ALTER TABLE agents ADD COLUMN desired_at INTEGER;
UPDATE agents SET desired_at = updated_at WHERE desired_model IS NOT NULL;
