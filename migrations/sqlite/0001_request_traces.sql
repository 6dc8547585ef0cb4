-- Traces: one row for the winning outcome of each request, with everything that is known of it.
-- Columns of instants are milliseconds since 1970; columns of money millionths of a US dollar.
-- The same columns as in Postgres; `_json` columns hold JSON text.

-- One row a request: its winning outcome. Deleted after its retention.
CREATE TABLE request_traces (
    -- Names the request for its whole life.
    request_id TEXT PRIMARY KEY,
    -- Partition of relay.outcomes.v1 in which the outcome lies.
    log_partition INTEGER NOT NULL,
    -- Its offset there.
    log_offset INTEGER NOT NULL,
    -- Who asked and who pays.
    tenant TEXT NOT NULL,
    -- How it ended: completed, cached, rejected, failed, expired, cancelled, refused.
    status TEXT NOT NULL,
    -- Machine-readable reason where it did not complete, for example worker_lost.
    code TEXT,
    -- The same for people. U+0000 is stored as U+FFFD, here as in every TEXT column.
    message TEXT,
    -- When asking again is worth it, for rejected requests.
    retry_after_ms INTEGER,
    -- The model that answered, else the one that was asked for; empty where not even that is known.
    model TEXT NOT NULL,
    -- name@sha256 of the policy that planned it; null where it ended before.
    policy_version TEXT,
    -- Who ended it: service, instance, epoch, attempt.
    run_json TEXT NOT NULL,
    -- The accepted request; null where its body could not be read.
    request_json TEXT,
    -- The execution plan; null where it ended before.
    plan_json TEXT,
    -- Why this plan: each rule with the values it saw, adjustments, and when.
    decision_trace_json TEXT,
    -- What the cache lookup came to, with the provenance of a hit.
    cache_json TEXT,
    -- Pool, lane, and how it waited; null where it was never dispatched.
    queue_json TEXT,
    -- The last lease: worker, attempt, scheduler epoch; null where it never ran.
    lease_json TEXT,
    -- The answer; null where there is none.
    response_json TEXT,
    -- Tokens read.
    prompt_tokens INTEGER NOT NULL,
    -- Tokens produced, also by cancelled and failed runs.
    completion_tokens INTEGER NOT NULL,
    -- Price of the run.
    cost_micro_usd INTEGER NOT NULL,
    -- From acceptance to the end.
    latency_ms INTEGER NOT NULL,
    -- From acceptance to the first token; null where there was none.
    ttft_ms INTEGER,
    -- Time in the model; null on a cache hit.
    backend_latency_ms INTEGER,
    -- Time in the queue over all attempts; null where it was never dispatched.
    queue_wait_ms INTEGER,
    -- Time that the model computed for this request alone.
    compute_ms INTEGER NOT NULL,
    -- When it ended.
    ended_at INTEGER NOT NULL
) STRICT;

CREATE INDEX request_traces_by_end ON request_traces (ended_at DESC, request_id DESC);
CREATE INDEX request_traces_by_tenant ON request_traces (tenant, ended_at DESC, request_id DESC);

-- Which record of a request won: the first in partition order. Remembered as long as the topic keeps its records,
-- also when the trace is deleted.
CREATE TABLE winners (
    -- The request.
    request_id TEXT PRIMARY KEY,
    -- Partition of relay.outcomes.v1; one key lies in one partition.
    log_partition INTEGER NOT NULL,
    -- The lowest offset seen there.
    log_offset INTEGER NOT NULL,
    -- When it ended.
    ended_at INTEGER NOT NULL
) STRICT;

CREATE INDEX winners_by_end ON winners (ended_at);
