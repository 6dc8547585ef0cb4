//! A request that the scheduler holds, from its offer to the outcome that is read back.

use std::sync::Arc;

use relay_schemas::{Class, Lane, Lease, Queueing, Ready, TimestampMs, Work};

use super::place::{Flow, Place, Route};

/// Where a record lies in its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct At {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// A record of `ready`, as it was read.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The request, planned and looked up.
    pub ready: Ready,
    /// Where it lies.
    pub at: At,
    /// Its size, for the bound on memory.
    pub bytes: usize,
    /// When it was appended.
    pub queued_at: TimestampMs,
    /// Its W3C trace context, handed on as it is.
    pub trace: Option<Arc<str>>,
}

/// A held request.
#[derive(Debug)]
pub struct Held {
    /// The request, planned and looked up.
    pub ready: Arc<Ready>,
    /// Where its `ready` record lies, if it was seen.
    pub at: Option<At>,
    /// Size of that record.
    pub bytes: usize,
    /// Its place in the queues.
    pub place: Place,
    /// When it was first queued.
    pub queued_at: TimestampMs,
    /// Since when it waits now.
    pub since: TimestampMs,
    /// Time waited over earlier attempts, milliseconds.
    pub waited_ms: i64,
    /// How many waited when it was queued.
    pub waiting_ahead: u32,
    /// Attempts so far.
    pub attempt: u32,
    /// Its W3C trace context.
    pub trace: Option<Arc<str>>,
    /// What is happening to it.
    pub state: State,
}

/// What is happening to a held request.
#[derive(Debug)]
pub enum State {
    /// It stands in the queues.
    Waiting,
    /// A worker may run it.
    Leased(Box<Leased>),
    /// Its outcome is on its way into the log.
    Ending,
}

/// A lease and what is known of its run.
#[derive(Debug)]
pub struct Leased {
    /// The lease.
    pub lease: Lease,
    /// Queue facts, as in the work record.
    pub queueing: Queueing,
    /// When its worker last showed it (or when it was published).
    pub seen_at: TimestampMs,
    /// Output tokens as last reported.
    pub tokens: u32,
    /// Weighted tokens charged for the time being.
    pub charged: u64,
    /// Whether the bus has acknowledged the work record.
    pub published: bool,
    /// Whether the work record was read back; only then it is part of a snapshot.
    pub read_back: bool,
    /// How far its revocation is.
    pub doubt: Doubt,
    /// Whether it was cancelled: then it does not run again.
    pub cancelled: bool,
}

/// How far a revocation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// Its worker has it, as far as is known.
    None,
    /// Its worker does not show it; outcomes are being folded to their end.
    Folding,
    /// The ingress is being asked to fence the run. No way back from here.
    Fencing,
}

impl Held {
    /// The request with the lease's facts, as a worker or an outcome shows it.
    pub fn work(&self, leased: &Leased) -> Work {
        let Ready {
            request,
            planning,
            caching,
        } = (*self.ready).clone();
        Work {
            request,
            planning,
            caching,
            queueing: leased.queueing.clone(),
            lease: leased.lease.clone(),
        }
    }

    /// The lease, if there is one.
    pub fn leased(&self) -> Option<&Leased> {
        match &self.state {
            State::Leased(leased) => Some(leased),
            State::Waiting | State::Ending => None,
        }
    }

    /// The same, to change it.
    pub fn leased_mut(&mut self) -> Option<&mut Leased> {
        match &mut self.state {
            State::Leased(leased) => Some(leased),
            State::Waiting | State::Ending => None,
        }
    }

    /// After this instant it is worth nothing.
    pub fn deadline(&self) -> TimestampMs {
        deadline(&self.ready)
    }
}

/// The earlier of the request's deadline and the plan's.
pub fn deadline(ready: &Ready) -> TimestampMs {
    ready.request.deadline.min(ready.planning.plan.deadline)
}

/// The lane that the plan chose by predicted length.
pub fn lane(ready: &Ready) -> Lane {
    let plan = &ready.planning.plan;
    if plan.predicted_tokens <= plan.lane_threshold_tokens {
        Lane::Short
    } else {
        Lane::Long
    }
}

/// The flow inside its tenant.
pub fn flow(class: Class, lane: Lane) -> Flow {
    match (class, lane) {
        (Class::Batch, _) => Flow::Batch,
        (Class::Interactive, Lane::Short) => Flow::Short,
        (Class::Interactive, Lane::Long) => Flow::Long,
    }
}

/// Which workers of `pool` can take it.
pub fn route(ready: &Ready, pool: &str) -> Route {
    let candidates = ready.planning.plan.candidates.iter();
    Route {
        lane: lane(ready),
        models: candidates
            .filter(|candidate| candidate.pool == pool)
            .map(|candidate| candidate.model.clone())
            .collect(),
    }
}
