//! A request that has not ended, as far as was read.

use std::sync::Arc;

use relay_clock::Timeline;
use relay_lifecycle::attempts_before;
use relay_schemas::{Ready, TimestampMs, Work};

use super::lease::Leased;
use super::plan::due;
use crate::core::queues::{Charge, QueueKey};
use crate::core::recovery::At;

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

/// A request on its way into the table: an [`Offer`], or the body of a predecessor's work record.
#[derive(Debug)]
pub struct Arrived {
    /// The request, planned and looked up.
    pub ready: Ready,
    /// Where its `ready` record lies, if that is known.
    pub at: Option<At>,
    /// Size of its body.
    pub bytes: usize,
    /// When it was first queued.
    pub queued_at: TimestampMs,
    /// The same, by the steady clock.
    pub since: TimestampMs,
    /// When it is worth nothing any more, by the steady clock.
    pub due: TimestampMs,
    /// Its W3C trace context.
    pub trace: Option<Arc<str>>,
}

/// A request that has not ended. Times are of the steady clock, but for `queued_at`.
#[derive(Debug)]
pub struct Pending {
    /// The request, planned and looked up.
    pub ready: Arc<Ready>,
    /// Where its `ready` record lies, if it was seen.
    pub at: Option<At>,
    /// Size of its body.
    pub bytes: usize,
    /// Its queue, while it waits.
    pub key: QueueKey,
    /// When it was first queued, as a record tells it.
    pub queued_at: TimestampMs,
    /// Since when it waits now.
    pub since: TimestampMs,
    /// After this it is worth nothing.
    pub due: TimestampMs,
    /// Time waited over earlier attempts, milliseconds.
    pub waited_ms: i64,
    /// How many waited when it was queued.
    pub waiting_ahead: u32,
    /// Attempts so far.
    pub attempt: u32,
    /// Those of them that failed before they began, or that no worker ever had, as far as they are let off.
    pub let_off: u32,
    /// Its W3C trace context.
    pub trace: Option<Arc<str>>,
    /// Whether it must end in this pool: its plan names none after it, or the next one cannot hold it.
    pub stays: bool,
    /// What its tenant and its flow are charged for its run, until that is settled.
    pub charged: Charge,
    /// What is happening to it.
    pub phase: Phase,
}

/// What is happening to a pending request.
#[derive(Debug)]
pub enum Phase {
    /// Nothing yet: it is between two of these, inside one decision.
    Moving,
    /// It stands in the queues.
    Queued,
    /// A worker may run it.
    Leased(Box<Leased>),
    /// It is on its way into another pool.
    Leaving,
    /// Its outcome is on its way into the log.
    Ending,
}

impl Offer {
    /// Comes in as it is `now` by the steady clock; its records tell the times of a wall clock.
    pub fn arrive(self, timeline: &Timeline, now: TimestampMs) -> Arrived {
        Arrived {
            at: Some(self.at),
            bytes: self.bytes,
            queued_at: self.queued_at,
            since: timeline.steady_of(self.queued_at, now),
            due: due(&self.ready, timeline, now),
            trace: self.trace,
            ready: self.ready,
        }
    }
}

impl Pending {
    /// The request with the lease's facts, as a worker or an outcome shows it.
    pub fn work(&self, leased: &Leased) -> Work {
        let Ready {
            request,
            planning,
            caching,
        } = &*self.ready;
        Work {
            request: Arc::clone(request),
            planning: Arc::clone(planning),
            caching: Arc::clone(caching),
            queueing: leased.queueing.clone(),
            lease: leased.lease.clone(),
        }
    }

    /// The lease, if there is one.
    pub fn leased(&self) -> Option<&Leased> {
        match &self.phase {
            Phase::Leased(leased) => Some(leased),
            Phase::Moving | Phase::Queued | Phase::Leaving | Phase::Ending => None,
        }
    }

    pub(super) fn leased_mut(&mut self) -> Option<&mut Leased> {
        match &mut self.phase {
            Phase::Leased(leased) => Some(leased),
            Phase::Moving | Phase::Queued | Phase::Leaving | Phase::Ending => None,
        }
    }

    /// Attempts in this pool that count.
    pub fn attempts_here(&self) -> u32 {
        let here = self.attempt.saturating_sub(attempts_before(&self.ready.planning));
        here.saturating_sub(self.let_off)
    }

    /// Attempts that the log knows of: one whose work record was not read back may not be in it.
    pub fn attempts_in_log(&self) -> u32 {
        match self.leased() {
            Some(leased) if !leased.read_back => self.attempt.saturating_sub(1),
            _ => self.attempt,
        }
    }
}
