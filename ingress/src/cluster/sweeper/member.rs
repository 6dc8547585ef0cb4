//! This ingress's share: which partitions it owns, and how far it has read them.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use relay_bus::{Bus, BusError, Commit, Consumer, ConsumerEvent, Partition, Record, topics};
use relay_clock::{Clock, Grace, millis};
use relay_lifecycle::{Moment, OpenRequest, Unended};
use relay_schemas::TimestampMs;

use super::end::Ending;
use super::passage::Passage;
use super::round::{Marks, Round};
use crate::batch::name::line_in_headers;
use crate::config::SweepConfig;

/// The consumer group.
const GROUP: &str = "relay.ingress.sweeper";

/// Most requests that one round ends; more wait for the next one, which then follows at once.
const MOST_A_ROUND: usize = 64;

/// A member of the sweepers' group.
pub(super) struct Member {
    bus: Arc<dyn Bus>,
    clock: Clock,
    began: Instant,
    /// After a jump of the clock whoever has a request in hand gets the margin once more.
    grace: Grace,
    consumer: Box<dyn Consumer>,
    paused: bool,
    every: Duration,
    unended: Unended,
    /// Up to where the outcomes of requests before these offsets were read: of earlier records they have to be sought.
    marks: BTreeMap<i32, i64>,
    /// When the earliest record was appended whose outcome has to be sought.
    seek: Option<TimestampMs>,
    /// Where outcomes are read on from; none before the first round.
    outcomes: BTreeMap<Partition, i64>,
    committed: BTreeMap<i32, i64>,
    /// Whether anything was read since the last round began.
    touched: bool,
}

impl Member {
    pub(super) async fn join(
        bus: Arc<dyn Bus>,
        config: &SweepConfig,
        clock: Clock,
    ) -> Result<Self, BusError> {
        let consumer = bus.subscribe(GROUP, &[topics::REQUESTS.to_owned()]).await?;
        Ok(Self {
            bus,
            began: clock.instant(),
            grace: Grace::new(config.margin, clock.clone()),
            clock,
            consumer,
            paused: false,
            every: config.every.max(Duration::from_millis(1)),
            unended: Unended::new(config.most_open, millis(config.margin)),
            marks: BTreeMap::new(),
            seek: None,
            outcomes: BTreeMap::new(),
            committed: BTreeMap::new(),
            touched: false,
        })
    }

    /// Sweeps until the log fails; counts its rounds.
    pub(super) async fn sweep(mut self, ending: &Ending, rounds: &mut u64) -> Result<Infallible, BusError> {
        let mut round = Round::Over;
        let mut pause = Box::pin(tokio::time::sleep(self.every));
        loop {
            self.steer().await?;
            tokio::select! {
                // A round that has begun is ended, whatever comes meanwhile.
                biased;
                outcomes = round.outcomes() => {
                    for record in outcomes? {
                        if let Some(id) = ending.ends(&record, &self.unended) {
                            self.unended.ended(&id);
                        }
                    }
                }
                () = &mut pause, if matches!(round, Round::Over) => {
                    if self.touched || !self.unended.is_empty() {
                        round = self.begin().await?;
                    } else {
                        pause = Box::pin(tokio::time::sleep(self.every));
                    }
                }
                event = self.consumer.next() => self.take(event?).await?,
            }
            if let Round::Requests(began) = round {
                round = self.go_on(began).await?;
            }
            if round.is_over(self.unended.is_empty())
                && let Round::Outcomes(began, _) = std::mem::replace(&mut round, Round::Over)
            {
                let more = self.finish(began, ending).await?;
                *rounds += 1;
                let pause_for = if more { Duration::ZERO } else { self.every };
                pause = Box::pin(tokio::time::sleep(pause_for));
            }
        }
    }

    /// Reads no more requests while it is full.
    async fn steer(&mut self) -> Result<(), BusError> {
        let owned: Vec<Partition> = self.unended.next().map(|(number, _)| requests(number)).collect();
        if !self.paused && self.unended.is_full() {
            self.consumer.pause(&owned).await?;
            self.paused = true;
        } else if self.paused && self.unended.has_room() {
            self.consumer.resume(&owned).await?;
            self.paused = false;
        }
        Ok(())
    }

    async fn take(&mut self, event: ConsumerEvent) -> Result<(), BusError> {
        self.touched = true;
        match event {
            ConsumerEvent::Records(records) => {
                let now = self.now();
                for record in &records {
                    self.read(record, now);
                }
            }
            ConsumerEvent::Assigned(partitions) => {
                for partition in partitions {
                    let low = self.bus.range(&partition).await?.low;
                    let committed = self.bus.committed(GROUP, &partition).await?;
                    let next = committed.map_or(low, |next| next.max(low));
                    if let Some(gone) = committed.map(|next| low - next).filter(|gone| *gone > 0) {
                        tracing::error!(
                            messaging.partition = partition.partition,
                            requests.gone = gone,
                            "the log let accepted requests go before it was known that they ended: raise the `retention` of {}",
                            topics::REQUESTS
                        );
                    }
                    self.unended.own(partition.partition, next);
                }
                // What was paused before may not be now.
                self.paused = false;
            }
            ConsumerEvent::Revoked(partitions) => {
                for Partition { partition, .. } in partitions {
                    self.unended.lose(partition);
                    self.marks.remove(&partition);
                    self.committed.remove(&partition);
                }
            }
        }
        Ok(())
    }

    fn now(&self) -> Moment {
        Moment {
            at: self.clock.now(),
            passed_ms: millis(self.clock.since(self.began)),
        }
    }

    fn read(&mut self, record: &Record, now: Moment) {
        let place = (record.position.partition.partition, record.position.offset);
        let headers = &record.headers;
        // Without a readable deadline nothing waits for it.
        let deadline = headers.deadline().unwrap_or(record.timestamp);
        // A clock that was set since it was accepted takes nothing of its time.
        let left_ms = deadline.since_ms(self.clock.now_for(record.timestamp));
        let open = headers
            .request_id()
            .zip(headers.tenant())
            .map(|(id, tenant)| OpenRequest {
                id,
                tenant,
                deadline: now.at.plus_ms(left_ms),
                batch: line_in_headers(headers).map(Box::new),
            });
        let sought = open.is_some() && self.marks.get(&place.0).is_none_or(|mark| place.1 < *mark);
        self.unended.read(place, open, now);
        if sought {
            self.seek = Some(
                self.seek
                    .map_or(record.timestamp, |seek| seek.min(record.timestamp)),
            );
        }
    }

    async fn begin(&mut self) -> Result<Round, BusError> {
        self.touched = false;
        let at = self.now();
        let outcomes = relay_runner::ends(&*self.bus, topics::OUTCOMES).await?;
        let mut requests_end = BTreeMap::new();
        for (number, _) in self.unended.next() {
            let end = self.bus.range(&requests(number)).await?.high;
            requests_end.insert(number, end);
        }
        Ok(Round::Requests(Marks {
            at,
            outcomes: outcomes.into_iter().collect(),
            requests: requests_end,
        }))
    }

    /// Goes on to the outcomes, once the requests are read as far as they are to be.
    async fn go_on(&mut self, began: Marks) -> Result<Round, BusError> {
        let behind = |(number, next): (i32, i64)| began.requests.get(&number).is_some_and(|end| next < *end);
        if self.unended.next().any(behind) && !self.paused && !self.unended.is_full() {
            return Ok(Round::Requests(began));
        }
        self.marks.clone_from(&began.requests);
        let seek = self.seek.take();
        if self.unended.is_empty() {
            return Ok(Round::Outcomes(began, Passage::nothing()));
        }
        Round::read_outcomes(&*self.bus, began, &self.outcomes, seek).await
    }

    /// Ends what is overdue, and commits; says whether more may be overdue.
    async fn finish(&mut self, began: Marks, ending: &Ending) -> Result<bool, BusError> {
        self.outcomes = began.outcomes;
        if let Some(jumped_ms) = self.grace.look() {
            tracing::warn!(
                jumped_ms,
                "the wall clock was set: the sweeper ends nothing for its margin"
            );
        }
        let most = if self.grace.lasts() { 0 } else { MOST_A_ROUND };
        let overdue = self.unended.overdue(began.at, most);
        let ended = ending.end(&overdue).await?;
        for id in &ended {
            self.unended.ended(id);
        }
        self.commit().await?;
        // While no sink tells of them, those that are left are not asked for without a pause.
        Ok(ended.len() == MOST_A_ROUND)
    }

    async fn commit(&mut self) -> Result<(), BusError> {
        let known = &self.committed;
        let moved = |(number, next): &(i32, i64)| known.get(number).is_none_or(|known| known < next);
        let moved: BTreeMap<i32, i64> = self.unended.resume_at().filter(moved).collect();
        if moved.is_empty() {
            return Ok(());
        }
        let commit = |(number, next): (&i32, &i64)| Commit {
            group: GROUP.to_owned(),
            partition: requests(*number),
            next: *next,
        };
        // As the stages do: what is meant for a partition that was lost meanwhile is void.
        self.bus
            .publish(Vec::new(), moved.iter().map(commit).collect())
            .await?;
        self.committed.extend(moved);
        Ok(())
    }
}

fn requests(number: i32) -> Partition {
    Partition::new(topics::REQUESTS, number)
}
