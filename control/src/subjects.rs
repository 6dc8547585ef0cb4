//! Every subject, once. Instance names hold no dots, so each is one token.

use relay_schemas::{InstanceId, RequestId};

/// Broadcast: cancel a request.
pub const CANCEL: &str = "relay.cancel";
/// Broadcast: an ingress holds an idempotency key.
pub const KEY_CLAIM: &str = "relay.key";
/// Broadcast: the models that a planner's policy takes.
pub const POLICY_STATUS: &str = "relay.status.policy";
/// Question to any trace sink: who won?
pub const WINNER: &str = "relay.ask.winner";

/// Where frames for `request` go; stands in the request as `reply_to`. The hash tells apart two bodies that were accepted under
/// one id, one after the other: frames of the first are none of the second's.
pub fn reply(ingress: &InstanceId, epoch: i64, request: &RequestId, request_hash: &str) -> String {
    let body = request_hash.get(..16).unwrap_or(request_hash);
    format!("relay.reply.{ingress}-{epoch}.{request}-{body}")
}

/// Whose frames come on `subject`; `None` if it is no reply subject.
pub fn request_of_reply(subject: &str) -> Option<RequestId> {
    let (request, _) = subject.rsplit_once('.')?.1.rsplit_once('-')?;
    Some(RequestId::new(request))
}

/// What that ingress listens to.
pub fn replies(ingress: &InstanceId, epoch: i64) -> String {
    format!("relay.reply.{ingress}-{epoch}.*")
}

/// Where to ask the ingress behind `reply_to` to fence a run; `None` if it is no reply subject.
pub fn fence(reply_to: &str) -> Option<String> {
    let ingress = reply_to.strip_prefix("relay.reply.")?.split('.').next()?;
    Some(format!("relay.ask.fence.{ingress}"))
}

/// Where that ingress listens for it.
pub fn fence_of(ingress: &InstanceId, epoch: i64) -> String {
    format!("relay.ask.fence.{ingress}-{epoch}")
}

/// Where to ask that ingress for a key that it claimed.
pub fn key_of(ingress: &InstanceId, epoch: i64) -> String {
    format!("relay.ask.key.{ingress}-{epoch}")
}

/// Where to ask a worker for frames again.
pub fn replay(worker: &InstanceId, epoch: i64) -> String {
    format!("relay.ask.replay.{worker}-{epoch}")
}

/// Where a worker is told of leases that are over.
pub fn revoked(worker: &InstanceId, epoch: i64) -> String {
    format!("relay.revoked.{worker}-{epoch}")
}

/// Broadcast: statuses of `pool`'s workers.
pub fn worker_status(pool: &str) -> String {
    format!("relay.status.worker.{pool}")
}

/// Broadcast: status of `pool`'s active scheduler.
pub fn pool_status(pool: &str) -> String {
    format!("relay.status.pool.{pool}")
}
