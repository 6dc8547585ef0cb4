-- Whose a request was, by the client's own words, so that traces can be found by them.

-- `user` of the body; null where it has none.
ALTER TABLE request_traces ADD COLUMN end_user TEXT;
-- `metadata` of the body, a JSON object of texts; null where it has none.
ALTER TABLE request_traces ADD COLUMN metadata TEXT;
-- The `traceparent` that came with the request; its trace id is what stands from the fourth character on.
ALTER TABLE request_traces ADD COLUMN traceparent TEXT;

CREATE INDEX request_traces_by_user ON request_traces (end_user, ended_at DESC, request_id DESC);
CREATE INDEX request_traces_by_trace ON request_traces (substr(traceparent, 4, 32));
