//! What the core wants done.

use std::sync::Arc;

use relay_schemas::{Lane, Outcome, PoolStatus, RequestId, Work};

use super::request::At;

/// Something for the shell to do.
#[derive(Debug)]
pub enum Effect {
    /// Publish this work; tell [`super::Core::dispatched`] once it is acknowledged. The lease exists from now on.
    Dispatch(Box<Dispatch>),
    /// Publish this outcome (under the request's trace context), then send its final frame.
    End(Box<Outcome>, Option<Arc<str>>),
    /// Make sure that the control seam works, fold outcomes to their present end, then tell [`super::Core::settled`].
    Settle(Vec<Attempt>),
    /// Ask the ingress behind `reply_to` to fence the attempt; tell [`super::Core::fence_answer`].
    AskFence {
        /// Which.
        attempt: Attempt,
        /// The request's reply address.
        reply_to: String,
    },
    /// Broadcast this.
    PoolStatus(PoolStatus),
}

/// Work for one partition of one lane.
#[derive(Debug)]
pub struct Dispatch {
    /// The record.
    pub work: Work,
    /// Which work topic.
    pub lane: Lane,
    /// Which partition of it.
    pub partition: i32,
    /// Where the request's `ready` record lies.
    pub ready_at: Option<At>,
    /// The request's trace context.
    pub trace: Option<Arc<str>>,
}

/// One attempt of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Which request.
    pub request_id: RequestId,
    /// Which attempt.
    pub attempt: u32,
}
