-- `model` is the public name that the client asked for, from here on; what ran stands beside it. Traces of before say what ran as `model`:
-- `relay traces rebuild` has them folded again.

ALTER TABLE request_traces ADD COLUMN executed_model TEXT;

COMMENT ON COLUMN request_traces.model IS 'The model that was asked for, else the one that answered; empty where not even that is known.';
COMMENT ON COLUMN request_traces.executed_model IS 'The model that answered; null where none did.';
