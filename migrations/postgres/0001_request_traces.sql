-- Traces: one row for the winning outcome of each request, with everything that is known of it.
-- Columns of instants are milliseconds since 1970; columns of money millionths of a US dollar.
-- `json`, not `jsonb`: an answer may hold U+0000, which `jsonb` refuses. Cast where operators are needed.

CREATE TABLE request_traces (
    request_id          TEXT    PRIMARY KEY,
    log_partition       BIGINT  NOT NULL,
    log_offset          BIGINT  NOT NULL,
    tenant              TEXT    NOT NULL,
    status              TEXT    NOT NULL,
    code                TEXT,
    message             TEXT,
    retry_after_ms      BIGINT,
    model               TEXT    NOT NULL,
    policy_version      TEXT,
    run_json            JSON    NOT NULL,
    request_json        JSON,
    plan_json           JSON,
    decision_trace_json JSON,
    cache_json          JSON,
    queue_json          JSON,
    lease_json          JSON,
    response_json       JSON,
    prompt_tokens       BIGINT  NOT NULL,
    completion_tokens   BIGINT  NOT NULL,
    cost_micro_usd      BIGINT  NOT NULL,
    latency_ms          BIGINT  NOT NULL,
    ttft_ms             BIGINT,
    backend_latency_ms  BIGINT,
    queue_wait_ms       BIGINT,
    compute_ms          BIGINT  NOT NULL,
    ended_at            BIGINT  NOT NULL
);

COMMENT ON TABLE request_traces IS 'One row a request: its winning outcome. Deleted after its retention.';
COMMENT ON COLUMN request_traces.request_id IS 'Names the request for its whole life.';
COMMENT ON COLUMN request_traces.log_partition IS 'Partition of relay.outcomes.v1 in which the outcome lies.';
COMMENT ON COLUMN request_traces.log_offset IS 'Its offset there.';
COMMENT ON COLUMN request_traces.tenant IS 'Who asked and who pays.';
COMMENT ON COLUMN request_traces.status IS 'How it ended: completed, cached, rejected, failed, expired, cancelled, refused.';
COMMENT ON COLUMN request_traces.code IS 'Machine-readable reason where it did not complete, for example worker_lost.';
COMMENT ON COLUMN request_traces.message IS 'The same for people. U+0000 is stored as U+FFFD, here as in every TEXT column.';
COMMENT ON COLUMN request_traces.retry_after_ms IS 'When asking again is worth it, for rejected requests.';
COMMENT ON COLUMN request_traces.model IS 'The model that answered, else the one that was asked for; empty where not even that is known.';
COMMENT ON COLUMN request_traces.policy_version IS 'name@sha256 of the policy that planned it; null where it ended before.';
COMMENT ON COLUMN request_traces.run_json IS 'Who ended it: service, instance, epoch, attempt.';
COMMENT ON COLUMN request_traces.request_json IS 'The accepted request; null where its body could not be read.';
COMMENT ON COLUMN request_traces.plan_json IS 'The execution plan; null where it ended before.';
COMMENT ON COLUMN request_traces.decision_trace_json IS 'Why this plan: each rule with the values it saw, adjustments, and when.';
COMMENT ON COLUMN request_traces.cache_json IS 'What the cache lookup came to, with the provenance of a hit.';
COMMENT ON COLUMN request_traces.queue_json IS 'Pool, lane, and how it waited; null where it was never dispatched.';
COMMENT ON COLUMN request_traces.lease_json IS 'The last lease: worker, attempt, scheduler epoch; null where it never ran.';
COMMENT ON COLUMN request_traces.response_json IS 'The answer; null where there is none.';
COMMENT ON COLUMN request_traces.prompt_tokens IS 'Tokens read.';
COMMENT ON COLUMN request_traces.completion_tokens IS 'Tokens produced, also by cancelled and failed runs.';
COMMENT ON COLUMN request_traces.cost_micro_usd IS 'Price of the run.';
COMMENT ON COLUMN request_traces.latency_ms IS 'From acceptance to the end.';
COMMENT ON COLUMN request_traces.ttft_ms IS 'From acceptance to the first token; null where there was none.';
COMMENT ON COLUMN request_traces.backend_latency_ms IS 'Time in the model; null on a cache hit.';
COMMENT ON COLUMN request_traces.queue_wait_ms IS 'Time in the queue over all attempts; null where it was never dispatched.';
COMMENT ON COLUMN request_traces.compute_ms IS 'Time that the model computed for this request alone.';
COMMENT ON COLUMN request_traces.ended_at IS 'When it ended.';

CREATE INDEX request_traces_by_end ON request_traces (ended_at DESC, request_id DESC);
CREATE INDEX request_traces_by_tenant ON request_traces (tenant, ended_at DESC, request_id DESC);

-- Which record of a request won; remembered as long as the topic keeps its records, also when the trace is deleted.
CREATE TABLE winners (
    request_id    TEXT   PRIMARY KEY,
    log_partition BIGINT NOT NULL,
    log_offset    BIGINT NOT NULL,
    ended_at      BIGINT NOT NULL
);

COMMENT ON TABLE winners IS 'Which record ended a request: the first in partition order.';
COMMENT ON COLUMN winners.request_id IS 'The request.';
COMMENT ON COLUMN winners.log_partition IS 'Partition of relay.outcomes.v1; one key lies in one partition.';
COMMENT ON COLUMN winners.log_offset IS 'The lowest offset seen there.';
COMMENT ON COLUMN winners.ended_at IS 'When it ended.';

CREATE INDEX winners_by_end ON winners (ended_at);
