//! Follows the leadership topic: who leads by it, and the newest snapshot.

use std::time::Duration;

use relay_bus::{BusError, Headers, Outgoing, Partition, Record, decode, stamp};
use relay_schemas::{TimestampMs, encode};

use super::heard::Heard;
use super::heartbeat::LeadershipTimes;
use super::leadership::{Appended, Leadership};
use super::log::LogClient;
use super::notice::{Notice, NoticeKind};
use crate::crash::crash_point;
use crate::health::dependency::BUS;
use crate::runtime::Identity;
use crate::tail::Tail;

/// How long whoever gives up tries to say so.
const RESIGN_WITHIN: Duration = Duration::from_secs(2);

/// A topic of one partition, by which instances of a service agree who leads, and its records.
pub trait LeadershipTopic: Send + Sync {
    /// What its records are.
    type Record: relay_schemas::Record;
    /// The state of a leader.
    type Snapshot: Send;

    /// Its name.
    fn name(&self) -> String;

    /// What a record says.
    fn notice(&self, record: &Self::Record) -> Notice;

    /// The state that stands in a record.
    fn snapshot(&self, record: Self::Record) -> Option<Self::Snapshot>;

    /// A record that says `notice`.
    fn record(&self, notice: Notice, snapshot: Option<Self::Snapshot>) -> Self::Record;
}

/// A record of the topic that cannot be read, and why.
pub struct Unreadable {
    /// The record.
    pub record: Record,
    /// What is wrong with it.
    pub reason: String,
}

/// See the module.
pub struct Election<T: LeadershipTopic> {
    log: LogClient,
    identity: Identity,
    topic: T,
    leadership: Leadership,
    records: Tail,
    /// The newest one: kept while this instance leads, which may be deposed before it has written one of its own.
    snapshot: Option<T::Snapshot>,
    unreadable: Vec<Unreadable>,
    /// Where the topic ended when this instance started: what lies before is old news.
    end: i64,
    next: i64,
    heard: Heard,
}

impl<T: LeadershipTopic> Election<T> {
    /// Opens the topic.
    ///
    /// # Errors
    /// What waiting does not mend.
    pub async fn open(
        log: LogClient,
        identity: Identity,
        topic: T,
        times: LeadershipTimes,
    ) -> Result<Self, BusError> {
        let partition = Partition::new(topic.name(), 0);
        let range = log.ask(|| log.runtime().bus.range(&partition)).await?;
        Ok(Self {
            leadership: Leadership::new(&times, identity.instance.clone(), identity.epoch),
            records: log.tail_of(partition, range.low),
            snapshot: None,
            unreadable: Vec::new(),
            end: if range.low < range.high { range.high } else { 0 },
            next: range.low,
            heard: Heard::new(log.runtime().clock.instant(), times.give_up_after),
            log,
            identity,
            topic,
        })
    }

    /// Who leads, as far as the log was read.
    pub fn leadership(&self) -> &Leadership {
        &self.leadership
    }

    /// Whether this instance leads by a log in which it has not read itself for long. To be asked at least at each heartbeat.
    pub fn is_cut_off(&mut self) -> bool {
        let now = self.log.runtime().clock.instant();
        self.heard.is_too_long_ago(now) && self.leadership.leads()
    }

    /// Gives the lead up that this instance is cut off from, and follows the topic anew.
    pub(super) async fn give_up(&mut self) {
        let epoch = self.leadership.epoch();
        self.leadership.give_up();
        let partition = Partition::new(self.topic.name(), 0);
        self.records = self.log.tail_of(partition, self.next);
        // Without it a standby takes over in its time, as there are no heartbeats any more.
        self.resign(epoch, None).await;
    }

    /// When a claim is due: not before everything is read that lay in the topic at the start.
    pub fn claim_due(&self) -> Option<TimestampMs> {
        let followed = self.has_followed();
        self.leadership.claim_due().filter(|_| followed)
    }

    /// Whether everything is read that lay in the topic at the start.
    pub(super) fn has_followed(&self) -> bool {
        self.next >= self.end
    }

    /// Asks again what the topic holds: what retention let go since the start never comes.
    ///
    /// # Errors
    /// What waiting does not mend.
    pub(super) async fn bound_again(&mut self) -> Result<(), BusError> {
        let partition = Partition::new(self.topic.name(), 0);
        let held = self.log.ask(|| self.log.runtime().bus.range(&partition)).await?;
        (self.next, self.end) = (self.next.max(held.low), self.end.min(held.high));
        Ok(())
    }

    /// The next records of the topic. Safe to drop while waiting.
    ///
    /// # Errors
    /// What waiting does not mend.
    pub async fn next(&mut self) -> Result<Vec<Record>, BusError> {
        self.records.next().await
    }

    /// The next records, if there are any now.
    pub fn try_next(&mut self) -> Option<Result<Vec<Record>, BusError>> {
        self.records.try_next()
    }

    /// The newest snapshot of a leader.
    pub fn snapshot(&self) -> Option<&T::Snapshot> {
        self.snapshot.as_ref()
    }

    /// What could not be read of the topic while this instance led, once: a leader gives it up for all that read it.
    pub fn take_unreadable(&mut self) -> Vec<Unreadable> {
        std::mem::take(&mut self.unreadable)
    }

    /// Takes records of the topic in.
    pub fn observe(&mut self, records: &[Record]) {
        let runtime = self.log.runtime();
        let now = runtime.clock.steady();
        for record in records {
            let offset = record.position.offset;
            self.next = offset + 1;
            let decoded: Result<T::Record, _> = decode(&runtime.schemas, record);
            match decoded {
                Ok(written) => {
                    let old = offset < self.end;
                    let at = if old {
                        runtime.clock.steady_of(record.timestamp)
                    } else {
                        now
                    };
                    let notice = self.topic.notice(&written);
                    if (&notice.instance, notice.start) == (&self.identity.instance, self.identity.epoch) {
                        self.heard.itself(runtime.clock.instant());
                    }
                    let before = self.leadership.epoch();
                    let appended = Appended {
                        offset,
                        at: record.timestamp,
                    };
                    self.leadership.observe(&notice, appended, at);
                    if self.leadership.epoch() < before {
                        tracing::warn!(
                            messaging.topic = record.position.partition.topic.as_str(),
                            leader = %notice.instance,
                            "the leader is of a version that counts epochs otherwise, and is followed; once another version has led, stop all that are left of that one: what they would lead is refused by workers"
                        );
                    }
                    if self.leadership.is_present(&notice)
                        && let Some(snapshot) = self.topic.snapshot(written)
                    {
                        self.snapshot = Some(snapshot);
                    }
                }
                Err(error) if self.leadership.leads() => self.unreadable.push(Unreadable {
                    record: record.clone(),
                    reason: error.to_string(),
                }),
                Err(error) => {
                    let topic = record.position.partition.topic.as_str();
                    tracing::debug!(messaging.topic = topic, messaging.offset = offset, %error, "a leadership record cannot be read and is passed over");
                }
            }
        }
    }

    /// A record of this instance for the topic.
    pub fn record(
        &self,
        kind: NoticeKind,
        epoch: i64,
        snapshot: Option<T::Snapshot>,
        now: TimestampMs,
    ) -> Outgoing {
        let notice = Notice::by(&self.identity, kind, epoch, now);
        let key = notice.key();
        let value = encode(&self.topic.record(notice, snapshot));
        let mut headers = Headers::default();
        stamp(&mut headers, &value);
        Outgoing {
            // The one that is read, however many somebody gives the topic.
            partition: Some(0),
            ..Outgoing::keyed(self.topic.name(), key, headers, value)
        }
    }

    /// Claims the lead.
    ///
    /// # Errors
    /// What waiting does not mend.
    pub async fn claim(&mut self, now: TimestampMs) -> Result<(), BusError> {
        let after = self.leadership.claim(now);
        let claim = self.record(NoticeKind::Claim, after, None, now);
        let (service, runtime) = (self.identity.service, self.log.runtime());
        crash_point(service, "before_lead");
        // One try: an unknown result shows in the log, and a claim that is not read back is made again.
        match runtime.bus.publish(vec![claim], Vec::new()).await {
            Ok(_) => runtime.health.up(BUS),
            Err(error @ BusError::Fatal(_)) => return Err(error),
            Err(error) => runtime.health.down(BUS, error.to_string()),
        }
        crash_point(service, "after_lead");
        Ok(())
    }

    /// Gives the lead under `epoch` up, with the state that a successor begins with if there is one to tell. One try within
    /// `patience`: without it a standby takes over in its time.
    pub async fn resign(&self, epoch: i64, snapshot: Option<T::Snapshot>) {
        let (topic, runtime) = (self.topic.name(), self.log.runtime());
        let now = runtime.clock.steady();
        let state = snapshot.map(|snapshot| self.record(NoticeKind::Snapshot, epoch, Some(snapshot), now));
        let resignation = self.record(NoticeKind::Resignation, epoch, None, now);
        let records = state.into_iter().chain([resignation]).collect();
        let publish = runtime.bus.publish(records, Vec::new());
        match tokio::time::timeout(RESIGN_WITHIN, publish).await {
            Ok(Ok(_)) => tracing::info!(messaging.topic = topic, epoch, "the lead is given up"),
            Ok(Err(error)) => {
                tracing::warn!(messaging.topic = topic, %error, "the resignation is not in the log; a standby takes over in its time");
            }
            Err(_) => tracing::warn!(
                messaging.topic = topic,
                "the resignation is not acknowledged; a standby takes over in its time"
            ),
        }
    }
}
