-- How an agent has left the fleet, if it has, and how often it was shut out, let in again or sent away.
ALTER TABLE agents ADD COLUMN departed TEXT;
ALTER TABLE agents ADD COLUMN turns INTEGER NOT NULL DEFAULT 0;
