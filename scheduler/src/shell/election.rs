//! Follows the scheduler's topic: who leads by it, and the newest snapshot.

use std::sync::Arc;

use relay_bus::{BusError, Partition, Record, decode, topics};
use relay_runner::dependency::BUS;
use relay_runner::{Tail, crash_point};
use relay_schemas::{SchedulerRecord, SchedulerRecordKind, SchedulerSnapshot, Service, TimestampMs};

use super::context::Context;
use super::garbage::give_up;
use super::records::{Conclusion, leadership_record};
use crate::leadership::Leadership;

/// See the module.
pub(super) struct Election {
    context: Arc<Context>,
    leadership: Leadership,
    log: Tail,
    snapshot: Option<SchedulerSnapshot>,
    /// Dead letters of the topic, to be published by the leader.
    garbage: Vec<Conclusion>,
    /// Where the topic ended when this instance started: what lies before is old news.
    log_end: i64,
    log_next: i64,
}

impl Election {
    /// Opens the scheduler's topic.
    pub(super) async fn open(context: Arc<Context>) -> Result<Self, BusError> {
        let partition = Partition::new(topics::scheduler(&context.pool), 0);
        let bus = &context.runtime.bus;
        let range = context.ask(|| bus.range(&partition)).await?;
        let identity = &context.identity;
        Ok(Self {
            leadership: Leadership::new(
                &context.config.leadership,
                identity.instance.clone(),
                identity.epoch,
            ),
            log: context.tail([(partition, range.low)]),
            snapshot: None,
            garbage: Vec::new(),
            log_end: if range.low < range.high { range.high } else { 0 },
            log_next: range.low,
            context,
        })
    }

    /// Who leads, as far as the log was read.
    pub(super) fn leadership(&self) -> &Leadership {
        &self.leadership
    }

    /// When a claim is due: not before everything is read that lay in the topic at the start.
    pub(super) fn claim_due(&self) -> Option<TimestampMs> {
        let followed = self.log_next >= self.log_end;
        self.leadership.claim_due().filter(|_| followed)
    }

    /// The next records of the topic. Safe to drop while waiting.
    pub(super) async fn next(&mut self) -> Result<Vec<Record>, BusError> {
        self.log.next().await
    }

    /// The next records, if there are any now.
    pub(super) fn try_next(&mut self) -> Option<Result<Vec<Record>, BusError>> {
        self.log.try_next()
    }

    /// The newest snapshot, once.
    pub(super) fn take_snapshot(&mut self) -> Option<SchedulerSnapshot> {
        self.snapshot.take()
    }

    /// What cannot be read of the topic, once.
    pub(super) fn take_garbage(&mut self) -> Vec<Conclusion> {
        std::mem::take(&mut self.garbage)
    }

    /// Takes records of the topic in.
    pub(super) fn observe(&mut self, records: &[Record]) {
        let now = self.context.runtime.clock.now();
        for record in records {
            let offset = record.position.offset;
            self.log_next = offset + 1;
            let decoded: Result<SchedulerRecord, _> = decode(&self.context.runtime.schemas, record);
            match decoded {
                Ok(written) => {
                    let old = offset < self.log_end;
                    let at = if old { record.timestamp.min(now) } else { now };
                    self.leadership.observe(&written, offset, at);
                    self.snapshot = written.snapshot.or(self.snapshot.take());
                }
                // The leader gives it up for all that read it.
                Err(error) if self.leadership.leads() => {
                    let letter = give_up(&self.context, record, &error.to_string(), "scheduler");
                    self.garbage.push(letter);
                }
                Err(error) => {
                    let pool = &self.context.pool;
                    tracing::debug!(pool, messaging.offset = offset, %error, "a leadership record cannot be read and is passed over");
                }
            }
        }
    }

    /// Claims the lead.
    pub(super) async fn claim(&mut self, now: TimestampMs) -> Result<(), BusError> {
        let Context {
            pool,
            identity,
            runtime,
            ..
        } = &*self.context;
        let after = self.leadership.claim(now);
        let claim = leadership_record(pool, identity, SchedulerRecordKind::Claim, after, None, now);
        crash_point(Service::Scheduler, "before_lead");
        // One try: an unknown result shows in the log, and a claim that is not read back is made again.
        match runtime.bus.publish(vec![claim], Vec::new()).await {
            Ok(_) => runtime.health.up(BUS),
            Err(error @ BusError::Fatal(_)) => return Err(error),
            Err(error) => runtime.health.down(BUS, error.to_string()),
        }
        crash_point(Service::Scheduler, "after_lead");
        Ok(())
    }
}
