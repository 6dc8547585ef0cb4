//! A member of a consumer group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::{FutureExt, StreamExt};
use rdkafka::consumer::{CommitMode, Consumer as _, ConsumerContext, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{Offset, TopicPartitionList};
use tokio::task::JoinHandle;

use super::blocking::{blocking, dispose};
use super::context::Membership;
use super::groups::{self, Groups, Member};
use super::position::{self, Positions};
use super::rouse::{Rouse, rouse};
use super::standstill::{Places, Standstill, Watch};
use super::{KafkaOptions, config, convert, error};
use crate::{BusError, Commit, Consumer, ConsumerEvent, OffsetRange, Partition, Record};

/// Most records and bytes that one answer holds.
const MOST_RECORDS: usize = 512;
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// A place in a group, which is taken again when the client that has it is of no use any more.
pub(super) struct Seat {
    pub(super) options: KafkaOptions,
    pub(super) groups: Arc<Groups>,
    pub(super) group: String,
    pub(super) topics: Vec<String>,
    pub(super) watch: Watch,
}

impl Seat {
    fn take(&self) -> Result<Arc<Member>, BusError> {
        let config = config::member(&self.options, &self.group);
        let join = || {
            let member: Member = config.create_with_context(Membership::default())?;
            let names: Vec<&str> = self.topics.iter().map(String::as_str).collect();
            member.subscribe(&names)?;
            Ok(Arc::new(member))
        };
        let member = join().map_err(|error: KafkaError| error::of(&error, ""))?;
        self.groups.join(&self.group, &member);
        Ok(member)
    }
}

/// Reads what the group gives to this member.
pub(super) struct KafkaConsumer {
    seat: Seat,
    /// `None` only once it has been left.
    member: Option<Arc<Member>>,
    positions: Positions,
    /// Looks how far what was won is committed. Kept here, so that a caller who gives up waiting does not start it over.
    confirming: Option<JoinHandle<Result<Floors, BusError>>>,
    /// What a member that was replaced owned, until that is told.
    lost: Vec<Partition>,
    paused: BTreeSet<Partition>,
    standstill: Standstill,
    rouse: Rouse,
    /// Since when it owns nothing.
    bereft: Option<Instant>,
    /// How often its place was taken anew since it owned something.
    fruitless: u32,
    /// The member came upon a damaged batch behind what it handed out last.
    damaged: bool,
}

/// How far partitions were committed.
type Floors = Vec<(Partition, i64)>;

impl KafkaConsumer {
    /// Joins the group.
    pub(super) fn join(seat: Seat) -> Result<Self, BusError> {
        Ok(Self {
            member: Some(seat.take()?),
            standstill: Standstill::new(seat.watch.clone()),
            rouse: Rouse::new(&seat.watch.clock),
            bereft: Some(seat.watch.clock.instant()),
            seat,
            paused: BTreeSet::new(),
            fruitless: 0,
            positions: Positions::default(),
            confirming: None,
            lost: Vec::new(),
            damaged: false,
        })
    }

    pub(super) fn member(&self) -> &Arc<Member> {
        self.member
            .as_ref()
            .expect("only leaving and dropping take it out")
    }

    /// Takes the place in the group anew, with a client of which nothing is known to be broken: what was not committed is read
    /// again.
    fn renew(&mut self) -> Result<(), BusError> {
        let fresh = self.seat.take()?;
        let old = self.member().clone();
        let context = old.context();
        // What it lost and nobody was told of yet is lost with it.
        while let Some(event) = context.next_event() {
            if let ConsumerEvent::Revoked(partitions) = event {
                self.lost.extend(partitions);
            }
        }
        self.lost.extend(context.owned());
        self.confirming = None;
        drop(old);
        dispose(self.member.replace(fresh));
        Ok(())
    }

    /// The oldest change of partitions, once it is known how far those that were won are committed.
    async fn change(&mut self) -> Result<Option<ConsumerEvent>, BusError> {
        if !self.lost.is_empty() {
            return Ok(Some(ConsumerEvent::Revoked(std::mem::take(&mut self.lost))));
        }
        loop {
            let member = self.member().clone();
            let won = member.context().unconfirmed();
            if won.is_empty() {
                return Ok(member.context().next_event());
            }
            let (asking, group) = (member.clone(), self.seat.group.clone());
            let (timeout, apart) = (self.seat.options.request_timeout, self.seat.options.topic_refresh);
            let look = move || position::twice(apart, || floors(&asking, &group, &won, timeout));
            let confirming = self
                .confirming
                .get_or_insert_with(|| tokio::task::spawn_blocking(look));
            let looked = confirming.await;
            self.confirming = None;
            let floors = looked.map_err(|error| BusError::Unavailable(error.to_string()))??;
            member.context().confirm(floors);
        }
    }
}

/// The least time that a member waits for partitions: joining a group takes seconds.
const JOINS_WITHIN: Duration = Duration::from_secs(10);
/// How often that wait doubles at most.
const DOUBLINGS: u32 = 5;

/// Completes once a member has owned nothing for so long that its client may have got stuck: after an outage librdkafka may lose
/// the address of the group's coordinator for ever, and queues all that it would ask it. Where others have all there is, the place is
/// taken anew for nothing, ever more rarely.
async fn bereft_for_long(since: Option<Instant>, fruitless: u32, watch: &Watch) {
    let Some(since) = since else {
        return std::future::pending().await;
    };
    let most = JOINS_WITHIN.max(watch.patience * 3) * 2_u32.pow(fruitless.min(DOUBLINGS));
    tokio::time::sleep(most.saturating_sub(watch.clock.since(since))).await;
}

/// What is fetched now, and from where on.
fn flowing(membership: &Membership, positions: &Positions, paused: &BTreeSet<Partition>) -> Places {
    let mut places = places(membership, positions);
    places.retain(|partition, _| !paused.contains(partition));
    places
}

fn places(membership: &Membership, positions: &Positions) -> Places {
    let mut places = membership.floors();
    for (partition, next) in &mut places {
        *next = positions.all().get(partition).copied().unwrap_or(*next);
    }
    places
}

fn floors(member: &Member, group: &str, won: &[Partition], timeout: Duration) -> Result<Floors, BusError> {
    let committed = member.committed_offsets(list(won), timeout);
    let committed = committed.map_err(|error| error::of(&error, ""))?;
    let floor = |partition: &Partition| {
        let Partition {
            topic,
            partition: number,
        } = partition;
        let held = member.fetch_watermarks(topic, *number, timeout);
        let (low, high) = held.map_err(|error| error::of(&error, topic))?;
        let committed = committed.find_partition(topic, *number);
        let committed = committed.and_then(|committed| match committed.offset() {
            Offset::Offset(next) => Some(next),
            _ => None,
        });
        let floor = position::floor(group, partition, committed, OffsetRange { low, high })?;
        Ok((partition.clone(), floor))
    };
    won.iter().map(floor).collect()
}

#[async_trait]
impl Consumer for KafkaConsumer {
    async fn next(&mut self) -> Result<ConsumerEvent, BusError> {
        loop {
            if self.damaged {
                self.renew()?;
                self.damaged = false;
                return Err(damaged(&self.seat.topics.join(", ")));
            }
            if let Some(event) = self.change().await? {
                let owns_nothing = self.member().context().owned().is_empty();
                self.bereft = owns_nothing.then(|| self.seat.watch.clock.instant());
                if !owns_nothing {
                    self.fruitless = 0;
                }
                if let ConsumerEvent::Assigned(partitions) | ConsumerEvent::Revoked(partitions) = &event {
                    for partition in partitions {
                        self.positions.forget(partition);
                        self.paused.remove(partition);
                    }
                    self.standstill.over();
                }
                return Ok(event);
            }
            // A change of partitions happens inside `recv`, which then goes on waiting: hence the second branch, which is
            // asked first so that nothing read afterwards can overtake the change.
            // Given to `dispose` where it is replaced: whoever lets the last of it go waits for the broker, for ever where it is stuck.
            let member = self.member().clone();
            let (positions, paused) = (&self.positions, &self.paused);
            let received = tokio::select! {
                biased;
                () = member.context().changed() => continue,
                () = self.rouse.due() => {
                    rouse(member);
                    continue;
                }
                unread = self.standstill.lasts(|| flowing(member.context(), positions, paused)) => {
                    self.renew()?;
                    dispose(member);
                    return Err(self.standstill.replaced("member", &unread));
                }
                () = bereft_for_long(self.bereft, self.fruitless, &self.seat.watch) => {
                    self.bereft = Some(self.seat.watch.clock.instant());
                    self.fruitless += 1;
                    self.renew()?;
                    dispose(member);
                    let group = &self.seat.group;
                    return Err(self.standstill.replaced("member", &format!("group {group} gives this member nothing")));
                }
                received = receive(member.as_ref()) => received,
            };
            self.standstill.came();
            let Received { records, damaged } = received?;
            self.damaged = damaged;
            if !records.is_empty() {
                self.positions.read(&records)?;
                return Ok(ConsumerEvent::Records(records));
            }
        }
    }

    fn places(&self) -> BTreeMap<Partition, i64> {
        places(self.member().context(), &self.positions)
            .into_iter()
            .collect()
    }

    async fn pause(&mut self, partitions: &[Partition]) -> Result<(), BusError> {
        self.paused.extend(partitions.iter().cloned());
        let paused = self.member().pause(&list(partitions));
        paused.map_err(|error| error::of(&error, ""))
    }

    async fn resume(&mut self, partitions: &[Partition]) -> Result<(), BusError> {
        self.paused.retain(|paused| !partitions.contains(paused));
        self.standstill.over();
        let resumed = self.member().resume(&list(partitions));
        resumed.map_err(|error| error::of(&error, ""))
    }

    async fn commit(&mut self, mut commits: Vec<Commit>) -> Result<(), BusError> {
        let member = self.member().clone();
        commits.retain(|commit| member.context().advances(commit));
        if commits.is_empty() {
            return Ok(());
        }
        blocking(move || {
            let committed = groups::list(&commits).and_then(|list| member.commit(&list, CommitMode::Sync));
            committed.map_err(|error| error::of(&error, ""))
        })
        .await
    }

    async fn leave(mut self: Box<Self>) -> Result<(), BusError> {
        let member = self.member.take();
        blocking(move || {
            // What was noted is committed while the group is left, which happens when the last owner lets go.
            drop(member);
            Ok(())
        })
        .await
    }
}

impl Drop for KafkaConsumer {
    /// Leaving the group waits for the broker, which the threads that drop us must not.
    fn drop(&mut self) {
        dispose(self.member.take());
    }
}

/// What was read at once.
pub(super) struct Received {
    pub(super) records: Vec<Record>,
    /// A batch behind them does not have its checksum. librdkafka reads on behind it, so this client must not be asked again.
    pub(super) damaged: bool,
}

/// What is said of a batch that does not have its checksum.
pub(super) fn damaged(topics: &str) -> BusError {
    BusError::Unavailable(format!(
        "records of {topics} came without their checksum (damaged on the way, or in the broker's log); they are asked for again \
         and nothing behind them is read before they come whole"
    ))
}

/// Waits for a record and takes with it what else lies ready. May be dropped at any time: nothing is awaited once the first
/// record has been taken.
///
/// While the brokers are away librdkafka says so every second or so, and what it said lies ready like records do: all of it
/// is one error, or the outage would last until the last of these had been heard.
pub(super) async fn receive<C: ConsumerContext + 'static>(
    consumer: &StreamConsumer<C>,
) -> Result<Received, BusError> {
    let mut stream = consumer.stream();
    let mut records = Vec::new();
    let (mut bytes, mut damaged) = (0, false);
    let mut failed = None;
    while records.len() < MOST_RECORDS && bytes < MOST_BYTES {
        let next = if records.is_empty() && failed.is_none() {
            stream.next().await
        } else {
            stream.next().now_or_never().flatten()
        };
        match next {
            Some(Ok(message)) => {
                let record = convert::record(&message);
                bytes += record.value.as_deref().map_or(0, <[u8]>::len);
                records.push(record);
            }
            Some(Err(KafkaError::MessageConsumption(Code::BadMessage))) => {
                damaged = true;
                break;
            }
            Some(Err(error)) => {
                tracing::debug!(target: "rdkafka", %error, "an error in the stream of records");
                failed = error::of_consumption(&error).or(failed);
            }
            None => break,
        }
    }
    match failed {
        Some(failed) if records.is_empty() && !damaged => Err(failed),
        _ => Ok(Received { records, damaged }),
    }
}

fn list(partitions: &[Partition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for Partition { topic, partition } in partitions {
        list.add_partition(topic, *partition);
    }
    list
}
