-- Files that are held here, by what is in them. A release or model without an address is held: the address is then ''.
ALTER TABLE releases ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
CREATE INDEX releases_by_file ON releases (sha256) WHERE held;
ALTER TABLE models ADD COLUMN sha256 BLOB;
ALTER TABLE models ADD COLUMN size INTEGER;
CREATE INDEX models_by_file ON models (sha256) WHERE sha256 IS NOT NULL;

CREATE TABLE binaries (
    no INTEGER PRIMARY KEY,
    tenant INTEGER NOT NULL,
    name TEXT NOT NULL,
    sha256 BLOB NOT NULL,
    size INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX binaries_by_name ON binaries (tenant, name);
CREATE INDEX binaries_by_file ON binaries (sha256);

-- The keys that sign releases. The first one is that of the foundation, from before there were more.
CREATE TABLE signing_keys (
    no INTEGER PRIMARY KEY,
    seed BLOB NOT NULL,
    created_at INTEGER,
    retired_at INTEGER
) STRICT;
INSERT INTO signing_keys (no, seed) SELECT 1, signing FROM foundation;
