-- `model` is the public name that the client asked for, from here on; what ran stands beside it. Traces of before say what ran as `model`:
-- `relay traces rebuild` has them folded again.

-- The model that answered; null where none did.
ALTER TABLE request_traces ADD COLUMN executed_model TEXT;
