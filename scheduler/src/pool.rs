//! One pool's scheduler: stands by until it wins the lead, leads until it loses it, and so on until a drain.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use relay_bus::{Outgoing, Partition, Record, stamp, topics};
use relay_control::{Control, Heard, listen, subjects};
use relay_runner::{Identity, Runtime, crash_point};
use relay_schemas::{
    Cancel, FenceAnswer, SchedulerRecord, SchedulerRecordKind, SchedulerSnapshot, Service, TimestampMs,
    WorkerStatus, encode,
};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::config::Config;
use crate::core::Attempt;
use crate::error::Error;
use crate::feed::{BUS, Feed, Wait, insist};
use crate::inputs::give_up;
use crate::lead;
use crate::leadership::Leadership;
use crate::metrics::PoolMetrics;
use crate::publisher::Ending;

/// Events that may wait for the loop.
const EVENTS: usize = 4_096;

/// What the tasks of one pool share.
pub(crate) struct Shared {
    pub(crate) config: Arc<Config>,
    pub(crate) pool: String,
    pub(crate) runtime: Runtime,
    pub(crate) identity: Identity,
    pub(crate) control: Arc<dyn Control>,
    pub(crate) metrics: Mutex<PoolMetrics>,
    events: mpsc::Sender<Event>,
}

/// Something that tasks tell the loop.
pub(crate) enum Event {
    /// A worker's status.
    Status(WorkerStatus),
    /// A cancel.
    Cancel(Cancel),
    /// Work records are acknowledged.
    Dispatched(Vec<Attempt>),
    /// A work record never will be.
    Undispatchable(Attempt, String),
    /// Where outcomes ended after these leases came into doubt.
    OutcomesEnd(Vec<Attempt>, Vec<(i32, i64)>),
    /// An ingress answered a fence question, or none did.
    Fenced(Attempt, Option<FenceAnswer>),
    /// Something that waiting does not mend.
    Failed(Error),
}

impl Shared {
    /// Tells the loop; a loop that has ended needs to know nothing.
    pub(crate) async fn tell(&self, event: Event) {
        let _ = self.events.send(event).await;
    }

    /// A leadership record.
    pub(crate) fn line(
        &self,
        kind: SchedulerRecordKind,
        epoch: i64,
        snapshot: Option<SchedulerSnapshot>,
        now: TimestampMs,
    ) -> Outgoing {
        let record = SchedulerRecord {
            pool: self.pool.clone(),
            scheduler: self.identity.instance.clone(),
            scheduler_start: self.identity.epoch,
            kind,
            epoch,
            sent_at: now,
            snapshot,
        };
        let key = match kind {
            // Of its own, so that compaction keeps every claim: who won follows from all of them.
            SchedulerRecordKind::Claim => format!(
                "claim/{}/{}/{epoch}/{}",
                record.scheduler, record.scheduler_start, now.0
            ),
            SchedulerRecordKind::Heartbeat | SchedulerRecordKind::Resignation => "heartbeat".to_owned(),
            SchedulerRecordKind::Snapshot => "snapshot".to_owned(),
        };
        let value = encode(&record);
        let mut headers = relay_bus::Headers::default();
        stamp(&mut headers, &value);
        Outgoing::keyed(topics::scheduler(&self.pool), key, headers, value)
    }
}

/// One pool's scheduler.
pub(crate) struct Pool {
    pub(crate) shared: Arc<Shared>,
    pub(crate) leadership: Leadership,
    pub(crate) log: Feed,
    pub(crate) events: mpsc::Receiver<Event>,
    /// Dead letters of the scheduler's topic, to be published by who leads.
    pub(crate) garbage: Vec<Ending>,
    snapshot: Option<SchedulerSnapshot>,
    /// Where the scheduler's topic ended when this instance started: what lies before is old news.
    log_end: i64,
    log_next: i64,
    _listeners: [AbortOnDropHandle<()>; 2],
}

/// Why leading ended.
pub(crate) enum Ended {
    /// Somebody else leads.
    Deposed,
    /// A drain.
    Drained,
}

impl Pool {
    /// Opens the scheduler's topic and the control seam.
    pub(crate) async fn open(
        config: Arc<Config>,
        deps: &crate::Deps,
        pool: &str,
        metrics: PoolMetrics,
    ) -> Result<Self, Error> {
        let (sender, events) = mpsc::channel(EVENTS);
        let shared = Arc::new(Shared {
            pool: pool.to_owned(),
            runtime: deps.runtime.clone(),
            identity: deps.identity.clone(),
            control: deps.control.clone(),
            metrics: Mutex::new(metrics),
            events: sender,
            config: config.clone(),
        });
        let partition = Partition::new(topics::scheduler(pool), 0);
        let (bus, health) = (&deps.runtime.bus, &deps.runtime.health);
        let range = insist(health, &config, || bus.range(&partition)).await?;
        let listeners = [
            AbortOnDropHandle::new(tokio::spawn(hear_statuses(shared.clone()))),
            AbortOnDropHandle::new(tokio::spawn(hear_cancels(shared.clone()))),
        ];
        Ok(Self {
            leadership: Leadership::new(&config, deps.identity.instance.clone(), deps.identity.epoch),
            log: Feed::open(bus.clone(), health.clone(), &config, vec![(partition, range.low)]),
            events,
            garbage: Vec::new(),
            snapshot: None,
            log_end: if range.low < range.high { range.high } else { 0 },
            log_next: range.low,
            _listeners: listeners,
            shared,
        })
    }

    /// Stands by and leads in turn, until a drain.
    pub(crate) async fn run(mut self) -> Result<(), Error> {
        loop {
            if !self.stand_by().await? {
                return Ok(());
            }
            let epoch = self.leadership.epoch();
            tracing::info!(
                pool = self.shared.pool,
                scheduler.epoch = epoch,
                "this instance leads the pool"
            );
            self.shared.metrics.lock().leader.set(1);
            let snapshot = self.snapshot.take();
            let ended = lead::lead(&mut self, epoch, snapshot).await;
            self.shared.metrics.lock().leader.set(0);
            match ended? {
                Ended::Drained => return Ok(()),
                Ended::Deposed => tracing::warn!(
                    pool = self.shared.pool,
                    scheduler.epoch = self.leadership.epoch(),
                    "another instance leads the pool; this one stands by"
                ),
            }
        }
    }

    /// Follows the scheduler's topic and claims the lead when it is free; false on a drain.
    async fn stand_by(&mut self) -> Result<bool, Error> {
        let shared = self.shared.clone();
        while !self.leadership.leads() {
            let followed = self.log_next >= self.log_end;
            let now = TimestampMs::now();
            let due = self.leadership.claim_due().filter(|_| followed);
            if due.is_some_and(|due| due <= now) {
                self.claim(now).await?;
            }
            let due = self.leadership.claim_due().filter(|_| followed);
            tokio::select! {
                () = shared.runtime.shutdown.draining() => return Ok(false),
                records = self.log.next() => self.observe(&records?),
                Some(event) = self.events.recv() => {
                    if let Event::Failed(error) = event {
                        return Err(error);
                    }
                }
                () = sleep_until(due, now) => {}
            }
        }
        Ok(true)
    }

    /// Reads leadership records.
    pub(crate) fn observe(&mut self, records: &[Record]) {
        let now = TimestampMs::now();
        for record in records {
            let offset = record.position.offset;
            self.log_next = offset + 1;
            let decoded: Result<SchedulerRecord, _> = relay_bus::decode(&self.shared.runtime.schemas, record);
            match decoded {
                Ok(line) => {
                    let old = offset < self.log_end;
                    let at = if old { record.timestamp.min(now) } else { now };
                    self.leadership.observe(&line, offset, at);
                    self.snapshot = line.snapshot.or(self.snapshot.take());
                }
                // The leader gives it up for all who read it.
                Err(error) if self.leadership.leads() => {
                    self.garbage
                        .push(give_up(&self.shared, record, &error.to_string(), "scheduler"));
                }
                Err(error) => {
                    tracing::debug!(pool = self.shared.pool, messaging.offset = offset, %error, "a leadership record cannot be read and is passed over");
                }
            }
        }
    }

    async fn claim(&mut self, now: TimestampMs) -> Result<(), Error> {
        let after = self.leadership.claim(now);
        let line = self.shared.line(SchedulerRecordKind::Claim, after, None, now);
        crash_point(Service::Scheduler, "before_lead");
        // One try: an unknown result shows in the log, and a claim that is not read back is made again.
        match self.shared.runtime.bus.publish(vec![line], Vec::new()).await {
            Ok(_) => self.shared.runtime.health.up(BUS),
            Err(relay_bus::BusError::Fatal(reason)) => return Err(relay_bus::BusError::Fatal(reason).into()),
            Err(error) => self.shared.runtime.health.down(BUS, error.to_string()),
        }
        crash_point(Service::Scheduler, "after_lead");
        Ok(())
    }
}

/// Sleeps until `due`; for ever if nothing is due.
pub(crate) async fn sleep_until(due: Option<TimestampMs>, now: TimestampMs) {
    match due {
        Some(due) => tokio::time::sleep(Duration::from_millis(due.since_ms(now).max(0) as u64)).await,
        None => std::future::pending().await,
    }
}

async fn hear_statuses(shared: Arc<Shared>) {
    let subject = subjects::worker_status(&shared.pool);
    hear(&shared, &subject, Event::Status).await;
}

async fn hear_cancels(shared: Arc<Shared>) {
    hear(&shared, subjects::CANCEL, Event::Cancel).await;
}

/// Listens for ever. What is lost comes again: statuses are absolute, cancels are repeated.
async fn hear<T: relay_schemas::Record>(shared: &Shared, subject: &str, event: fn(T) -> Event) {
    let mut wait = Wait::new(&shared.config);
    loop {
        match listen::<T>(&*shared.control, subject).await {
            Ok(mut listener) => {
                wait.reset();
                while let Some(heard) = listener.next().await {
                    if let Heard::Message(message) = heard {
                        shared.tell(event(message)).await;
                    }
                }
            }
            Err(error) => tracing::debug!(subject, %error, "nothing is heard yet"),
        }
        wait.once().await;
    }
}
