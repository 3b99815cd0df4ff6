-- Times are milliseconds since 1970; JSON is text; flags are 0 and 1. Every table keeps its rowid: rows are a few
-- hundred bytes, and a table without rowid would carry them through its B-tree at every insert.

-- The secrets of this server, made at its first start.
CREATE TABLE foundation (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    rotation BLOB NOT NULL,
    signing BLOB NOT NULL,
    operator BLOB NOT NULL
) STRICT;

CREATE TABLE uptime (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    up_until INTEGER NOT NULL
) STRICT;

CREATE TABLE agents (
    no INTEGER PRIMARY KEY,
    tenant INTEGER NOT NULL,
    vendor TEXT NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    parent INTEGER REFERENCES agents (no),
    -- A copy of the fact that tells it from the others on its host, to be found by.
    hosted_key TEXT,
    name TEXT NOT NULL,
    version TEXT,
    facts TEXT NOT NULL,
    labels TEXT NOT NULL,
    disabled INTEGER NOT NULL,
    activated INTEGER NOT NULL,
    desired_model TEXT,
    current_model TEXT,
    rotation INTEGER NOT NULL,
    rotating INTEGER NOT NULL,
    -- How many images it has, so that its quota is not counted anew for each.
    images INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX agents_by_id ON agents (tenant, vendor, kind, id);
CREATE INDEX agents_by_host ON agents (parent, hosted_key) WHERE parent IS NOT NULL;

CREATE TABLE leases (
    agent INTEGER PRIMARY KEY REFERENCES agents (no),
    last_seen INTEGER NOT NULL,
    report TEXT
) STRICT;

CREATE TABLE keys (
    digest BLOB NOT NULL UNIQUE,
    tenant INTEGER NOT NULL,
    vendor TEXT NOT NULL,
    agent INTEGER REFERENCES agents (no),
    candidate INTEGER NOT NULL
) STRICT;
CREATE INDEX keys_by_agent ON keys (agent) WHERE agent IS NOT NULL;

CREATE TABLE tokens (
    no INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    id TEXT NOT NULL,
    tenant INTEGER NOT NULL,
    vendor TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    max_uses INTEGER NOT NULL,
    uses INTEGER NOT NULL,
    revoked INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX tokens_by_id ON tokens (tenant, id);

CREATE TABLE enrolments (
    no INTEGER PRIMARY KEY,
    token INTEGER NOT NULL REFERENCES tokens (no),
    identity TEXT NOT NULL,
    agent INTEGER NOT NULL REFERENCES agents (no),
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX enrolments_by_identity ON enrolments (token, identity);

CREATE TABLE work (
    no INTEGER PRIMARY KEY,
    tenant INTEGER NOT NULL,
    id TEXT NOT NULL,
    agent INTEGER NOT NULL REFERENCES agents (no),
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    state TEXT NOT NULL,
    priority INTEGER NOT NULL,
    ttl INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    delivered_at INTEGER,
    completed_at INTEGER,
    updated_at INTEGER NOT NULL,
    result TEXT
) STRICT;
CREATE UNIQUE INDEX work_by_id ON work (tenant, id);
-- The latest first, of a tenant or of an agent: an index ends in the rowid, which is the order.
CREATE INDEX work_by_tenant ON work (tenant);
CREATE INDEX work_by_agent ON work (agent);
CREATE INDEX work_open ON work (agent, priority DESC, created_at, no)
    WHERE state IN ('queued', 'delivered', 'running');

CREATE TABLE models (
    no INTEGER PRIMARY KEY,
    tenant INTEGER NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    download_url TEXT NOT NULL,
    file_ext TEXT,
    label_map TEXT,
    created_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX models_by_id ON models (tenant, id);

CREATE TABLE releases (
    no INTEGER PRIMARY KEY,
    tenant INTEGER NOT NULL,
    version TEXT NOT NULL,
    os TEXT NOT NULL,
    arch TEXT NOT NULL,
    sha256 BLOB NOT NULL,
    signature BLOB NOT NULL,
    size INTEGER NOT NULL,
    download_url TEXT NOT NULL,
    mandatory INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX releases_by_platform ON releases (tenant, os, arch);

CREATE TABLE batches (
    no INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    agent INTEGER NOT NULL REFERENCES agents (no),
    images INTEGER NOT NULL,
    opened_at INTEGER NOT NULL
) STRICT;
-- A device's latest batch is the one that may still take images.
CREATE INDEX batches_by_agent ON batches (agent);

CREATE TABLE images (
    no INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    batch INTEGER NOT NULL REFERENCES batches (no),
    agent INTEGER NOT NULL REFERENCES agents (no),
    storage_key TEXT NOT NULL,
    filename TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    model_id TEXT,
    model_name TEXT,
    model_version TEXT,
    created_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX images_by_storage_key ON images (agent, storage_key);
CREATE INDEX images_by_batch ON images (batch);

CREATE TABLE annotations (
    no INTEGER PRIMARY KEY,
    image INTEGER NOT NULL REFERENCES images (no),
    class TEXT,
    confidence REAL,
    x REAL,
    y REAL,
    width REAL,
    height REAL,
    crosses_edge INTEGER NOT NULL
) STRICT;
CREATE INDEX annotations_by_image ON annotations (image);
