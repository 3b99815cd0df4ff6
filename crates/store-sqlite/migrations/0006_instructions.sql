-- Files that agents are to work by: those of a tenant have no agent.
CREATE TABLE instructions (
    no INTEGER PRIMARY KEY,
    tenant INTEGER NOT NULL,
    agent INTEGER REFERENCES agents (no),
    files TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX instructions_by_whom ON instructions (tenant, ifnull(agent, 0));
