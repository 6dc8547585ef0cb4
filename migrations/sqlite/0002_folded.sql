-- How far the log is folded into these tables, written in the transaction of the rows: tables that are lost, emptied or
-- restored say themselves from where they must be folded again.

-- One row a partition of relay.outcomes.v1.
CREATE TABLE folded (
    -- The partition.
    log_partition INTEGER PRIMARY KEY,
    -- The offset of the first record that is not folded.
    next_offset INTEGER NOT NULL,
    -- While next_offset lies below it, something that was folded once is missing here.
    whole_from INTEGER NOT NULL
) STRICT;
