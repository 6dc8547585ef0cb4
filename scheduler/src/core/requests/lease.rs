//! A lease and what is known of its run.

use relay_schemas::{Lease, Queueing, RequestId, TimestampMs, WorkerStatus};

/// One attempt of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Which request.
    pub request_id: RequestId,
    /// Which attempt.
    pub attempt: u32,
}

/// An attempt that came into doubt. It may do so again: what was asked about one doubt settles no later one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubted {
    /// Which attempt.
    pub attempt: Attempt,
    /// Which doubt.
    pub number: u64,
}

/// A lease and what is known of its run.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact that is told by itself"
)]
#[derive(Debug)]
pub struct Leased {
    /// The lease.
    pub lease: Lease,
    /// Queue facts, as in the work record.
    pub queueing: Queueing,
    /// The partition of its lane's topic where its work record lies; `None` where a snapshot tells of it.
    pub partition: Option<i32>,
    /// When it was granted, or read from the log.
    pub since: TimestampMs,
    /// When its worker last showed it (or when it was published).
    pub seen_at: TimestampMs,
    /// Whether its worker ever showed it, to this scheduler.
    pub shown: bool,
    /// Output tokens as last reported.
    pub tokens: u32,
    /// Whether the bus has acknowledged the work record.
    pub published: bool,
    /// Whether the work record was read back; only then it is part of a snapshot.
    pub read_back: bool,
    /// How far its revocation is.
    pub doubt: Doubt,
    /// Whether its worker has read its work record and does not run it: to it the attempt is over.
    pub passed_over: bool,
    /// Whether it was cancelled: then it does not run again.
    pub cancelled: bool,
}

/// How far a revocation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// Its worker has it, as far as is known.
    None,
    /// Its worker does not show it; outcomes are being folded to their end. With the number of the doubt.
    Folding(u64),
    /// The ingress is being asked to fence the run. No way back from here.
    Fencing,
    /// Its worker gave it back before it began: nothing was computed. No way back either.
    Unbegun,
}

impl Leased {
    /// A lease that is granted now; the log does not know it yet.
    pub fn granted(lease: Lease, queueing: Queueing, now: TimestampMs) -> Self {
        Self {
            lease,
            queueing,
            partition: None,
            since: now,
            seen_at: now,
            shown: false,
            tokens: 0,
            published: false,
            read_back: false,
            doubt: Doubt::None,
            passed_over: false,
            cancelled: false,
        }
    }

    /// A lease that was read from the log.
    pub fn read(lease: Lease, queueing: Queueing, now: TimestampMs) -> Self {
        Self {
            published: true,
            read_back: true,
            ..Self::granted(lease, queueing, now)
        }
    }

    /// Its work record lies in that partition.
    pub fn in_partition(self, partition: i32) -> Self {
        Self {
            partition: Some(partition),
            ..self
        }
    }

    /// Whether this is an attempt on the worker that tells its status.
    pub(super) fn is_on(&self, status: &WorkerStatus, attempt: u32) -> bool {
        let lease = &self.lease;
        lease.worker == status.worker && lease.worker_epoch == status.epoch && lease.attempt == attempt
    }
}
