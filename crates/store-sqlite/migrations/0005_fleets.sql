-- How many agents each tenant has, so that they are not counted anew for each that is made.
CREATE TABLE fleets (
    tenant INTEGER PRIMARY KEY,
    agents INTEGER NOT NULL
) STRICT;
INSERT INTO fleets (tenant, agents) SELECT tenant, count(*) FROM agents GROUP BY tenant;
CREATE TRIGGER agent_joins AFTER INSERT ON agents BEGIN
    INSERT INTO fleets (tenant, agents) VALUES (new.tenant, 1)
        ON CONFLICT (tenant) DO UPDATE SET agents = agents + 1;
END;
CREATE TRIGGER agent_leaves AFTER DELETE ON agents BEGIN
    UPDATE fleets SET agents = agents - 1 WHERE tenant = old.tenant;
END;

-- What waits, for those who do it; the index ends in the rowid, which is the order.
CREATE INDEX work_by_state ON work (tenant, state);
