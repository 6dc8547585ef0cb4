//! A record that a worker runs.

use std::sync::Arc;

use relay_clock::Clock;
use relay_schemas::{Decoding, Plan, Planning, Request, TokenCount, Work, samples};

/// Chat work for `model` in the pool `default`: greedy, 64 tokens at most, a minute long, leased to the instance `w` of
/// epoch 7.
pub fn work(model: &str, body: &str) -> Work {
    let now = Clock::system().now();
    let deadline = now.plus_ms(60_000);
    let plan = Plan {
        candidates: vec![samples::candidate(model)],
        decoding: Decoding {
            max_tokens: TokenCount(64),
            ..samples::decoding()
        },
        deadline,
        ..samples::plan()
    };
    let mut work = samples::work();
    work.request = Arc::new(Request {
        request_id: "r-1".into(),
        tenant: "t-1".into(),
        model: model.to_owned(),
        body: body.to_owned(),
        accepted_at: now,
        deadline,
        ..samples::request()
    });
    work.planning = Arc::new(Planning {
        plan,
        ..samples::planning()
    });
    work.lease.worker = "w".into();
    work.lease.worker_epoch = 7;
    work.lease.scheduler_epoch = 3;
    work
}
