//! One record, tried until there is a verdict on it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use relay_clock::Clock;

use super::class::{Next, Tries, TryFailure, decide};
use super::contract::Stage;
use super::contract::Step;
use super::lookup::Lookup;
use super::metrics::Metrics;
use super::options::StageOptions;
use super::outages::{Outages, WaitingRecord};
use crate::backoff::backoff;
use crate::chance::Chance;
use crate::dead_letter::{Dead, POISON};
use crate::health::dependency::BUS;
use relay_bus::{Headers, Position, Record};
use relay_schemas::TimestampMs;

/// What all records of a stage share.
pub(super) struct Attempts<S> {
    pub(super) stage: Arc<S>,
    pub(super) options: Arc<StageOptions>,
    pub(super) outages: Outages,
    pub(super) lookup: Lookup,
    pub(super) clock: Clock,
    pub(super) chance: Chance,
    pub(super) metrics: Arc<Metrics>,
}

/// A record and what became of it.
pub(super) struct Settled<E> {
    pub(super) record: Record,
    pub(super) verdict: Resolution<E>,
}

impl<E> Settled<E> {
    /// Whether it is to be decided later.
    pub(super) fn is_put_off(&self) -> bool {
        matches!(&self.verdict, Resolution::Step(step) if step.put_off)
    }

    /// What was put off at `position` and then lost.
    pub(super) fn gone(position: Position) -> Self {
        let reason = "it was put off, and before its turn came the log had let it go: its topic is kept for less long than it had to \
                      wait. Nothing is known of it but where it lay; who sent it gets no result";
        Self {
            record: Record {
                position,
                timestamp: TimestampMs(0),
                key: None,
                headers: Headers::default(),
                value: None,
            },
            verdict: Resolution::Dead(Dead {
                class: POISON,
                reason: reason.to_owned(),
                attempts: 0,
            }),
        }
    }
}

/// What became of a record.
pub(super) enum Resolution<E> {
    Step(Step<E>),
    Dead(Dead),
    Stop(String),
}

impl<S: Stage> Attempts<S> {
    /// Tries `record` until there is a verdict.
    pub(super) async fn settle(self: Arc<Self>, record: Record) -> Settled<S::Effect> {
        let mut tries = Tries::default();
        let mut waits = 0;
        let mut waiting: Option<WaitingRecord> = None;
        let verdict = loop {
            let failure = match self.once(&record).await {
                Ok(step) => break Resolution::Step(step),
                Err(failure) => failure,
            };
            match self
                .look_up_if_asked(decide(failure, tries, self.options.max_attempts))
                .await
            {
                Next::Wait { dependency, reason } => {
                    waits += 1;
                    match &mut waiting {
                        Some(waiting) => waiting.still(dependency, &reason),
                        None => waiting = Some(self.outages.begin(dependency, &reason)),
                    }
                    self.pause(waits).await;
                }
                Next::LookUp(_) => tries.looked_up = true,
                Next::Again => {
                    tries.failed += 1;
                    self.metrics.retries.inc();
                    // The dependency answered, or this would be another Wait: others need not wait with this record.
                    if let Some(waiting) = waiting.take() {
                        waiting.over();
                    }
                    self.pause(tries.failed).await;
                }
                Next::Dead(dead) => break Resolution::Dead(dead),
                Next::Stop(reason) => break Resolution::Stop(reason),
            }
        };
        if let Some(waiting) = waiting {
            waiting.over();
        }
        Settled { record, verdict }
    }

    async fn once(&self, record: &Record) -> Result<Step<S::Effect>, TryFailure> {
        let began = self.clock.instant();
        let answer = AssertUnwindSafe(self.stage.on_record(record))
            .catch_unwind()
            .await;
        self.metrics
            .record_seconds
            .observe(self.clock.since(began).as_secs_f64());
        match answer {
            Ok(Ok(step)) => Ok(step),
            Ok(Err(error)) => Err(TryFailure::Error(error)),
            Err(_) => Err(TryFailure::Panic),
        }
    }

    /// A bus that cannot be asked for a schema is a dependency like any other.
    async fn look_up_if_asked(&self, next: Next) -> Next {
        let Next::LookUp(fingerprint) = next else {
            return next;
        };
        match self.lookup.look_up(fingerprint).await {
            Ok(()) => next,
            Err(error) => Next::Wait {
                dependency: BUS,
                reason: error.to_string(),
            },
        }
    }

    async fn pause(&self, failed: u32) {
        let StageOptions {
            retry_base,
            retry_max,
            ..
        } = *self.options;
        tokio::time::sleep(backoff(retry_base, retry_max, failed, self.chance.draw())).await;
    }
}
