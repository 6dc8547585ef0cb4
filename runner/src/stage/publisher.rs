//! Publishing until it is acknowledged: what a stage decided, dead letters, and the commits that go with them.

use relay_clock::Clock;
use std::sync::Arc;

use super::attempt::{Resolution, Settled};
use super::contract::Stage;
use super::error::RunnerError;
use super::metrics::Metrics;
use super::options::StageOptions;
use super::shrink::without_content;
use crate::backoff::backoff;
use crate::chance::Chance;
use crate::crash;
use crate::crash::crash_point;
use crate::dead_letter::{Dead, POISON, TOO_LARGE, dead_letter};
use crate::health::Health;
use crate::health::dependency::BUS;
use crate::runtime::Identity;
use relay_bus::{Bus, BusError, Commit, Outgoing, Position, Record, header, traceparent_of};

/// What one record leads to.
pub(super) struct Parcel<E> {
    source: Record,
    outgoing: Vec<Outgoing>,
    effects: Vec<E>,
}

impl<E> Parcel<E> {
    /// The record that led to it.
    pub(super) fn position(&self) -> &Position {
        &self.source.position
    }
}

/// Publishes for one stage.
pub(super) struct Publisher<S> {
    pub(super) stage: Arc<S>,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) clock: Clock,
    pub(super) chance: Chance,
    pub(super) health: Health,
    pub(super) identity: Identity,
    pub(super) options: Arc<StageOptions>,
    pub(super) metrics: Arc<Metrics>,
}

impl<S: Stage> Publisher<S> {
    /// Turns a verdict into what is to be published; a stage that cannot go on is an error.
    pub(super) fn pack<E>(&self, settled: Settled<E>) -> Result<Parcel<E>, RunnerError> {
        let Settled { record, verdict } = settled;
        match verdict {
            Resolution::Step(step) => Ok(Parcel {
                outgoing: step.publish.into_iter().map(|out| sealed(out, &record)).collect(),
                effects: step.effects,
                source: record,
            }),
            Resolution::Dead(dead) => Ok(Parcel {
                outgoing: self.bury(&record, &dead),
                effects: Vec::new(),
                source: record,
            }),
            Resolution::Stop(reason) => Err(RunnerError::Stage(reason)),
        }
    }

    /// Publishes `parcels` and then commits; returns the effects that may now be done.
    pub(super) async fn deliver<E>(
        &self,
        parcels: Vec<Parcel<E>>,
        commits: Vec<Commit>,
    ) -> Result<Vec<E>, RunnerError> {
        let service = self.identity.service;
        let outgoing: Vec<&Outgoing> = parcels.iter().flat_map(|parcel| &parcel.outgoing).collect();
        crash_point(service, "before_publish");
        let (with, after) = if crash::separates_commits(service) {
            (Vec::new(), commits)
        } else {
            (commits, Vec::new())
        };
        let effects = match self.persist(&outgoing, &with).await {
            Ok(()) => parcels.into_iter().flat_map(|parcel| parcel.effects).collect(),
            Err(BusError::TooLarge { .. }) => self.deliver_singly(parcels, &with).await?,
            Err(error) => return Err(error.into()),
        };
        crash_point(service, "after_publish");
        crash_point(service, "before_commit");
        if !after.is_empty() {
            self.persist(&[], &after).await?;
        }
        crash_point(service, "after_commit");
        Ok(effects)
    }

    /// A record of the batch is too large: the others must not suffer for it.
    async fn deliver_singly<E>(
        &self,
        parcels: Vec<Parcel<E>>,
        commits: &[Commit],
    ) -> Result<Vec<E>, RunnerError> {
        let mut effects = Vec::new();
        for parcel in parcels {
            let outgoing: Vec<&Outgoing> = parcel.outgoing.iter().collect();
            match self.persist(&outgoing, &[]).await {
                Ok(()) => effects.extend(parcel.effects),
                Err(BusError::TooLarge { .. }) => effects.extend(self.deliver_smaller(parcel).await?),
                Err(error) => return Err(error.into()),
            }
        }
        self.persist(&[], commits).await?;
        Ok(effects)
    }

    /// First without texts, then as a dead letter.
    async fn deliver_smaller<E>(&self, parcel: Parcel<E>) -> Result<Vec<E>, RunnerError> {
        let shrink = |out: &Outgoing| without_content(out).unwrap_or_else(|| out.clone());
        let smaller: Vec<Outgoing> = parcel.outgoing.iter().map(shrink).collect();
        let smaller: Vec<&Outgoing> = smaller.iter().collect();
        let too_large = match self.persist(&smaller, &[]).await {
            Ok(()) => {
                self.metrics.texts_dropped.inc();
                return Ok(parcel.effects);
            }
            Err(too_large @ BusError::TooLarge { .. }) => too_large,
            Err(error) => return Err(error.into()),
        };
        let dead = Dead {
            class: POISON,
            reason: format!("{TOO_LARGE}: {too_large}"),
            attempts: 1,
        };
        for dead_letter in self.bury(&parcel.source, &dead) {
            match self.persist(&[&dead_letter], &[]).await {
                Ok(()) => {}
                Err(error @ BusError::TooLarge { .. }) => {
                    tracing::error!(%error, "even the dead letter is too large; the record is passed over");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Vec::new())
    }

    /// Publishes until it is acknowledged, for as long as that takes; the same records, so that duplicates are possible.
    /// Fails only with [`BusError::TooLarge`] and [`BusError::Fatal`].
    async fn persist(&self, records: &[&Outgoing], commits: &[Commit]) -> Result<(), BusError> {
        if records.is_empty() && commits.is_empty() {
            return Ok(());
        }
        let began = self.clock.instant();
        let mut failed = 0;
        loop {
            match self
                .bus
                .publish(records.iter().copied().cloned().collect(), commits.to_vec())
                .await
            {
                Ok(_) => break,
                Err(error) if error.may_pass() => {
                    failed += 1;
                    if failed == 1 {
                        tracing::warn!(%error, "publishing waits");
                    }
                    self.health.down(BUS, error.to_string());
                }
                Err(error) => return Err(error),
            }
            let StageOptions {
                retry_base,
                retry_max,
                ..
            } = *self.options;
            tokio::time::sleep(backoff(retry_base, retry_max, failed, self.chance.draw())).await;
        }
        if failed > 0 {
            tracing::info!("publishing goes on");
            self.health.up(BUS);
        }
        self.metrics
            .publish_seconds
            .observe(self.clock.since(began).as_secs_f64());
        self.metrics.records_out.inc_by(records.len() as u64);
        Ok(())
    }

    fn bury(&self, record: &Record, dead: &Dead) -> Vec<Outgoing> {
        let partition = &record.position.partition;
        tracing::error!(
            messaging.topic = partition.topic.as_str(),
            messaging.partition = partition.partition,
            messaging.offset = record.position.offset,
            messaging.group = self.options.group,
            request.id = record.headers.text(header::REQUEST_ID).unwrap_or_default(),
            class = dead.class,
            attempts = dead.attempts,
            "a record becomes a dead letter, which holds the reason"
        );
        self.metrics.dead_letters.with_label_values(&[dead.class]).inc();
        let StageOptions {
            group,
            dead_letter_bytes,
            ..
        } = &*self.options;
        let now = self.clock.now();
        let mut letters = dead_letter(record, dead, group, *dead_letter_bytes, &self.identity, now);
        letters.extend(self.stage.last_words(record, &dead.reason));
        letters
    }
}

/// Adds what every record carries: its checksum, and its source's trace context unless the stage opened a span of its own.
fn sealed(mut outgoing: Outgoing, source: &Record) -> Outgoing {
    if outgoing.headers.get(header::TRACEPARENT).is_none()
        && let Some(traceparent) = traceparent_of(&source.headers)
    {
        outgoing.headers.set(header::TRACEPARENT, traceparent);
    }
    outgoing.sealed()
}
