//! What a worker hears on the control seam: cancels, leases that are over, and questions for frames that were missed.

use std::sync::Arc;

use relay_control::subjects;
use relay_runner::{listen_forever, serve_forever};
use relay_schemas::{Cancel, ReplayAnswer, ReplayQuery, Revoked};

use crate::worker::Worker;

/// Takes cancels until it is dropped. A lost one is repeated by its sender until the end is seen.
pub async fn cancels(worker: Arc<Worker>) {
    let control = worker.control.clone();
    let take = |cancel: Cancel| worker.cancel(&cancel.request_id);
    listen_forever(control, subjects::CANCEL.to_owned(), worker.chance.clone(), take).await;
}

/// Takes word of leases that are over until it is dropped. One that is lost costs a run beside the one that replaces it.
pub async fn revocations(worker: Arc<Worker>) {
    let control = worker.control.clone();
    let subject = subjects::revoked(&worker.identity.instance, worker.identity.epoch);
    let take = |revoked: Revoked| worker.revoke(&revoked);
    listen_forever(control, subject, worker.chance.clone(), take).await;
}

/// Answers questions for frames until it is dropped.
pub async fn replays(worker: Arc<Worker>) {
    let subject = subjects::replay(&worker.identity.instance, worker.identity.epoch);
    let answer = |query: ReplayQuery| {
        let answer = held(&worker, &query);
        async move { Some(answer) }
    };
    let chance = worker.chance.clone();
    serve_forever(worker.control.clone(), subject, None, chance, answer).await;
}

fn held(worker: &Worker, query: &ReplayQuery) -> ReplayAnswer {
    if worker.identity.run(query.run.attempt) != query.run {
        return ReplayAnswer { frames: Vec::new() };
    }
    // An answer must fit into one message; half of it leaves room for whatever a seam adds.
    let most_bytes = worker.control.max_payload() / 2;
    let replays = worker.replays.lock();
    ReplayAnswer {
        frames: replays.from(&query.request_id, query.run.attempt, query.from_seq, most_bytes),
    }
}
