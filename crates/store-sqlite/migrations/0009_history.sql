-- Reports that were kept. Each agent has so many places, which they take in turn: what is kept of one is bounded.
CREATE TABLE history (
    agent INTEGER NOT NULL REFERENCES agents (no),
    place INTEGER NOT NULL,
    at INTEGER NOT NULL,
    report TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX history_by_place ON history (agent, place);

-- When the key was offered that waits to be used, and the number of the last one of which it was told that it is not.
ALTER TABLE agents ADD COLUMN offered_at INTEGER;
ALTER TABLE agents ADD COLUMN unused_told INTEGER NOT NULL DEFAULT 0;
CREATE INDEX agents_by_offer ON agents (no) WHERE rotating = 1;

-- A batch is closed, and says why. Of those that there are, each device's latest one takes images still.
ALTER TABLE batches ADD COLUMN project TEXT;
ALTER TABLE batches ADD COLUMN closed_at INTEGER;
ALTER TABLE batches ADD COLUMN why_closed TEXT;
UPDATE batches SET
    closed_at = (SELECT min(later.opened_at) FROM batches AS later
                 WHERE later.agent = batches.agent AND later.no > batches.no),
    why_closed = 'old'
    WHERE EXISTS (SELECT 1 FROM batches AS later WHERE later.agent = batches.agent AND later.no > batches.no);
-- How they were told to be closed is in the journal, as far as that goes back.
UPDATE batches SET why_closed = 'full'
    WHERE closed_at IS NOT NULL AND EXISTS (
        SELECT 1 FROM events WHERE events.agent = batches.agent AND kind = 'batch_closed'
            AND detail ->> 'batch' = batches.id AND detail ->> 'why' = 'full');
CREATE UNIQUE INDEX batches_open ON batches (agent) WHERE closed_at IS NULL;
CREATE INDEX batches_by_age ON batches (opened_at) WHERE closed_at IS NULL;
CREATE INDEX images_by_agent ON images (agent);
