-- What has happened. The number is the cursor of those who read on, so one that was forgotten is not given again.
CREATE TABLE events (
    no INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant INTEGER NOT NULL,
    agent INTEGER,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
-- Each index ends in the rowid, which is the order.
CREATE INDEX events_by_tenant ON events (tenant);
CREATE INDEX events_by_kind ON events (tenant, kind);
CREATE INDEX events_by_agent ON events (agent) WHERE agent IS NOT NULL;
CREATE INDEX events_by_time ON events (at);

-- The agents whose latest event of that sort says that they are online.
CREATE TABLE online (
    agent INTEGER PRIMARY KEY REFERENCES agents (no)
) STRICT;
-- Whoever has reported before there was a journal: those that are silent are told of as of anybody.
INSERT INTO online (agent) SELECT agent FROM leases;
