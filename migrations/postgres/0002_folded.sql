-- How far the log is folded into these tables, written in the transaction of the rows: tables that are lost, emptied or
-- restored say themselves from where they must be folded again.

CREATE TABLE folded (
    log_partition BIGINT PRIMARY KEY,
    next_offset   BIGINT NOT NULL,
    whole_from    BIGINT NOT NULL
);

COMMENT ON TABLE folded IS 'How far each partition of relay.outcomes.v1 is folded.';
COMMENT ON COLUMN folded.log_partition IS 'The partition.';
COMMENT ON COLUMN folded.next_offset IS 'The offset of the first record that is not folded.';
COMMENT ON COLUMN folded.whole_from IS 'While next_offset lies below it, something that was folded once is missing here.';
