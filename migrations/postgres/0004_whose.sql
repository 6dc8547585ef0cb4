-- Whose a request was, by the client's own words, so that traces can be found by them.

ALTER TABLE request_traces ADD COLUMN end_user TEXT;
ALTER TABLE request_traces ADD COLUMN metadata TEXT;
ALTER TABLE request_traces ADD COLUMN traceparent TEXT;

COMMENT ON COLUMN request_traces.end_user IS '`user` of the body; null where it has none.';
COMMENT ON COLUMN request_traces.metadata IS '`metadata` of the body, a JSON object of texts; null where it has none.';
COMMENT ON COLUMN request_traces.traceparent IS 'The `traceparent` that came with the request; its trace id is what stands from the fourth character on.';

CREATE INDEX request_traces_by_user ON request_traces (end_user, ended_at DESC, request_id DESC);
CREATE INDEX request_traces_by_trace ON request_traces (substr(traceparent, 4, 32));
