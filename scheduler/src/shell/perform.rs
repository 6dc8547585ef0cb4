//! Does what the core wants done.

use std::sync::Arc;

use relay_control::{send, subjects};

use super::context::Context;
use super::doubt;
use super::outbox::Outbox;
use super::records::{Conclusion, work_record};
use crate::core::{Attempt, Core, Effect};

/// Does one effect of `core`, or starts doing it.
pub(super) fn perform(context: &Arc<Context>, core: &Core, outbox: &mut Outbox, effect: Effect) {
    match effect {
        Effect::Dispatch(dispatch) => {
            context.metrics.lock().dispatched(&dispatch.work.queueing);
            let attempt = Attempt {
                request_id: dispatch.work.request.request_id.clone(),
                attempt: dispatch.work.lease.attempt,
            };
            outbox.work(attempt, work_record(*dispatch));
        }
        Effect::End(outcome, trace) => {
            context.metrics.lock().ended(outcome.code.as_deref());
            outbox.conclude(Conclusion::Outcome(outcome.into(), trace));
        }
        Effect::HandOver(handover) => outbox.hand_over(handover),
        Effect::Settle(doubts) => {
            tracing::warn!(
                pool = context.pool,
                leases = doubts.len(),
                "leases that no worker shows are in doubt"
            );
            outbox.spawn(doubt::settle(context.clone(), doubts));
        }
        Effect::AskFence { attempt, reply_to } => {
            outbox.spawn(doubt::fence(context.clone(), attempt, reply_to));
        }
        Effect::Revoke {
            worker,
            worker_epoch,
            revoked,
        } => {
            let context = context.clone();
            outbox.spawn(async move {
                let subject = subjects::revoked(&worker, worker_epoch);
                if let Err(error) = send(&*context.control, &subject, revoked).await {
                    tracing::debug!(pool = context.pool, %error, "a worker could not be told that a lease is over; if it reads it, it runs it");
                }
            });
        }
        Effect::PoolStatus(status) => {
            context.metrics.lock().show(core, outbox.backlog().bytes());
            let context = context.clone();
            outbox.spawn(async move {
                let subject = subjects::pool_status(&context.pool);
                if let Err(error) = send(&*context.control, &subject, status).await {
                    tracing::debug!(pool = context.pool, %error, "the pool's status could not be sent; the next one says it all");
                }
            });
        }
    }
}
