//! The smallest service that keeps state: its leader counts the records of a topic.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use relay_bus::testing::FaultyBus;
use relay_bus::{Headers, Outgoing, Partition};
use relay_runner::{
    Backoff, Election, Ends, Folded, Heartbeat, Identity, LeadershipTimes, LeadershipTopic, LogClient,
    Notice, NoticeKind, Offsets, Opened, Publishers, Runtime, Shutdown, StatefulStage, Takeover, Tenure,
    run_stateful, sleep_until,
};
use relay_schemas::{FoldedOffset, SchedulerRecord, SchedulerRecordKind, SchedulerSnapshot, Service};
use tokio_util::task::AbortOnDropHandle;

pub const PATIENCE: Duration = Duration::from_secs(60);
pub const COUNTED: &str = "test.counted";
const LEADERSHIP: &str = "test.leadership";
pub const TIMES: LeadershipTimes = LeadershipTimes {
    heartbeat: Duration::from_millis(20),
    // So long that a busy machine makes nobody suspect a leader that lives, nor a leader its log.
    suspect_after: Duration::from_secs(4),
    give_up_after: Duration::from_secs(5),
    self_fence_after: Duration::from_secs(3),
    snapshot_every: Duration::from_millis(20),
    snapshot_changes: 1_000,
};

/// What one instance shows of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shown {
    /// Whether it leads and has taken over.
    pub decides: bool,
    /// Records in the log, as far as its state tells.
    pub total: i64,
    /// Records that this instance read itself.
    pub read: i64,
    /// The total in the last snapshot that it asked to be written.
    pub written: i64,
}

/// An instance that runs.
pub struct Instance {
    pub shown: Arc<Mutex<Shown>>,
    pub shutdown: Shutdown,
    pub task: AbortOnDropHandle<Result<(), relay_bus::BusError>>,
}

impl Instance {
    pub fn start(bus: &Arc<FaultyBus>, name: &str) -> Self {
        let runtime = Runtime::new(bus.clone());
        let shutdown = runtime.shutdown.clone();
        let shown = Arc::new(Mutex::new(Shown::default()));
        let identity = Identity {
            service: Service::Scheduler,
            instance: name.into(),
            epoch: 1,
        };
        let log = client(runtime);
        let mut tally = Tally {
            log: log.clone(),
            shown: shown.clone(),
        };
        let task = tokio::spawn(async move { run_stateful(log, identity, Topic, TIMES, &mut tally).await });
        Self {
            shown,
            shutdown,
            task: AbortOnDropHandle::new(task),
        }
    }

    /// Waits until it shows that.
    pub async fn shows(&self, holds: impl Fn(&Shown) -> bool) -> Shown {
        let wait = async {
            loop {
                let shown = *self.shown.lock();
                if holds(&shown) {
                    return shown;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        waited.unwrap_or_else(|_| panic!("it only shows {:?}", self.shown.lock()))
    }
}

pub fn client(runtime: Runtime) -> LogClient {
    let backoff = Backoff::new(
        Duration::from_millis(1),
        Duration::from_millis(10),
        &runtime.chance,
    );
    LogClient::new(runtime, backoff, 4)
}

/// A log with both topics.
pub fn bus(folder: &std::path::Path) -> Arc<FaultyBus> {
    Arc::new(FaultyBus::with_topics(folder, &[COUNTED, LEADERSHIP]))
}

/// Appends so many records to be counted.
pub async fn append(bus: &FaultyBus, count: usize) {
    let partition = Partition::new(COUNTED, 0);
    let record = Outgoing::to_partition(&partition, Headers::default(), "x");
    bus.log.publish(vec![record; count], Vec::new()).await.unwrap();
}

pub struct Topic;

impl LeadershipTopic for Topic {
    type Record = SchedulerRecord;
    type Snapshot = SchedulerSnapshot;

    fn name(&self) -> String {
        LEADERSHIP.to_owned()
    }

    fn notice(&self, record: &SchedulerRecord) -> Notice {
        Notice {
            instance: record.scheduler.clone(),
            start: record.scheduler_start,
            kind: match record.kind {
                SchedulerRecordKind::Claim => NoticeKind::Claim,
                SchedulerRecordKind::Heartbeat => NoticeKind::Heartbeat,
                SchedulerRecordKind::Snapshot => NoticeKind::Snapshot,
                SchedulerRecordKind::Resignation => NoticeKind::Resignation,
            },
            epoch: record.epoch,
            sent_at: record.sent_at,
        }
    }

    fn snapshot(&self, record: SchedulerRecord) -> Option<SchedulerSnapshot> {
        record.snapshot
    }

    fn record(&self, notice: Notice, snapshot: Option<SchedulerSnapshot>) -> SchedulerRecord {
        SchedulerRecord {
            pool: "test".to_owned(),
            scheduler: notice.instance,
            scheduler_start: notice.start,
            kind: match notice.kind {
                NoticeKind::Claim => SchedulerRecordKind::Claim,
                NoticeKind::Heartbeat => SchedulerRecordKind::Heartbeat,
                NoticeKind::Snapshot => SchedulerRecordKind::Snapshot,
                NoticeKind::Resignation => SchedulerRecordKind::Resignation,
            },
            epoch: notice.epoch,
            sent_at: notice.sent_at,
            snapshot,
        }
    }
}

/// The state: how many there are.
#[derive(Default)]
struct Count {
    offsets: Offsets<()>,
    total: i64,
}

impl Folded for Count {
    type Input = ();

    fn topic(&self, (): ()) -> String {
        COUNTED.to_owned()
    }

    fn bound(&mut self, (): (), partition: i32, low: i64, high: i64) {
        let next = self.offsets.next((), partition);
        self.offsets.set((), partition, next.clamp(low, high.max(low)));
    }

    fn reads_from(&self, (): (), partition: i32) -> i64 {
        self.offsets.next((), partition)
    }

    fn has_folded(&self, ends: &Ends<()>) -> bool {
        ends.iter()
            .all(|((), partition, end)| self.offsets.next((), partition) >= end)
    }
}

impl Count {
    fn of(snapshot: Option<&SchedulerSnapshot>) -> Self {
        let mut count = Self::default();
        if let Some(snapshot) = snapshot {
            count.total = snapshot.prompt_tokens;
            for folded in &snapshot.folded {
                count.offsets.set((), folded.partition, folded.next);
            }
        }
        count
    }

    fn snapshot(&self) -> SchedulerSnapshot {
        let folded = |((), partition, next)| FoldedOffset {
            topic: COUNTED.to_owned(),
            partition,
            next,
        };
        SchedulerSnapshot {
            folded: self.offsets.iter().map(folded).collect(),
            prompt_tokens: self.total,
            ..SchedulerSnapshot::default()
        }
    }
}

struct Tally {
    log: LogClient,
    shown: Arc<Mutex<Shown>>,
}

impl StatefulStage for Tally {
    type Topic = Topic;
    type Error = relay_bus::BusError;

    async fn let_go(&mut self) -> Result<(), Self::Error> {
        std::future::pending().await
    }

    async fn lead(&mut self, election: &mut Election<Topic>) -> Result<Tenure, Self::Error> {
        let ended = self.count(election).await;
        self.shown.lock().decides = false;
        ended
    }
}

impl Tally {
    async fn count(&self, election: &mut Election<Topic>) -> Result<Tenure, relay_bus::BusError> {
        let runtime = self.log.runtime();
        let clock = &runtime.clock;
        let epoch = election.leadership().epoch();
        let mut count = Count::of(election.snapshot());
        let (mut takeover, opened) = Takeover::begin(&self.log, clock.instant(), &mut count, &[()]).await?;
        let from = opened.into_iter().flat_map(|Opened { from, .. }| from);
        let mut records = self.log.tail(from);
        let mut publishers = Publishers::new(self.log.clone());
        let lane = publishers.open_leadership(Service::Scheduler);
        let mut heartbeat = Heartbeat::default();
        loop {
            let now = clock.steady();
            if heartbeat.beats(now, &TIMES) && lane.is_free() {
                if lane.lost_snapshot() {
                    heartbeat.lost_snapshot();
                }
                let changes = count.total.unsigned_abs();
                let takes = takeover.is_over() && heartbeat.takes_snapshot(changes, 0, now, &TIMES);
                let kind = if takes {
                    NoticeKind::Snapshot
                } else {
                    NoticeKind::Heartbeat
                };
                let snapshot = takes.then(|| count.snapshot());
                if takes {
                    self.shown.lock().written = count.total;
                }
                lane.write(kind, election.record(kind, epoch, snapshot, now));
            }
            tokio::select! {
                () = runtime.shutdown.draining() => {
                    election.resign(epoch, Some(count.snapshot())).await;
                    return Ok(Tenure::Drained);
                }
                written = election.next() => election.observe(&written?),
                found = records.next() => for record in found? {
                    let at = relay_runner::At { partition: 0, offset: record.position.offset };
                    assert!(count.offsets.fold((), at), "nothing is read twice");
                    count.total += 1;
                    self.shown.lock().read += 1;
                },
                () = sleep_until(Some(heartbeat.due()), now) => {}
            }
            let leadership = election.leadership();
            if !leadership.leads() || leadership.epoch() != epoch {
                return Ok(Tenure::Deposed);
            }
            let may_act = leadership.may_act(clock.steady());
            if election.is_cut_off() {
                return Ok(Tenure::CutOff);
            }
            takeover.finish(&count, clock);
            let mut shown = self.shown.lock();
            shown.decides = takeover.is_over() && may_act;
            shown.total = count.total;
        }
    }
}
