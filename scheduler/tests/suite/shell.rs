//! Whole schedulers on a real log, with workers played by the test.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use relay_bus::{Bus, EmbeddedBus, EmbeddedOptions, Headers, Outgoing, Partition, Reader, StartAt, topics};
use relay_control::{Delivery, InProcessControl, InProcessOptions, listen, send, subjects};
use relay_lifecycle::{Ending, Known, end};
use relay_runner::{Health, Identity, Runtime, Shutdown};
use relay_scheduler::{Config, Deps};
use relay_schemas::{
    DeadLetter, Frame, InFlight, Outcome, OutcomeStatus, PoolStatus, SchedulerRecord, Service, TokenCount,
    Usage, Work, WorkerStatus, decode, encode,
};
use tokio_util::task::AbortOnDropHandle;

use crate::records::{Spec, worker};
use crate::world::run as run_of;

const MANIFEST: &str = include_str!("../../../deploy/topics.yaml");
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A log, a control seam, and what the tests read of them.
pub(crate) struct Stand {
    pub(crate) bus: Arc<EmbeddedBus>,
    pub(crate) control: Arc<InProcessControl>,
    _folder: tempfile::TempDir,
}

/// A scheduler that runs.
pub(crate) struct Scheduler {
    pub(crate) shutdown: Shutdown,
    pub(crate) metrics: prometheus::Registry,
    pub(crate) health: Health,
    pub(crate) task: AbortOnDropHandle<Result<(), relay_scheduler::Error>>,
}

pub(crate) fn manifest() -> topics::Manifest {
    topics::Manifest::parse(&MANIFEST.replace("[default]", "[default, spare]")).unwrap()
}

impl Stand {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bus = EmbeddedBus::open(
            folder.path(),
            &manifest(),
            EmbeddedOptions::default(),
            &relay_clock::Clock::system(),
        );
        Self::on(bus.unwrap(), folder)
    }

    /// With a log that is there.
    pub(crate) fn on(bus: EmbeddedBus, folder: tempfile::TempDir) -> Self {
        Self {
            bus: Arc::new(bus),
            control: Arc::new(InProcessControl::new(InProcessOptions::default())),
            _folder: folder,
        }
    }

    pub(crate) fn scheduler(&self, name: &str) -> Scheduler {
        self.scheduler_on(self.bus.clone(), name, Config::default())
    }

    pub(crate) fn scheduler_on(&self, bus: Arc<dyn Bus>, name: &str, config: Config) -> Scheduler {
        self.scheduler_in(Runtime::new(bus), name, config)
    }

    pub(crate) fn scheduler_in(&self, runtime: Runtime, name: &str, config: Config) -> Scheduler {
        let (shutdown, metrics) = (Shutdown::default(), prometheus::Registry::new());
        let health = Health::default();
        let deps = Deps {
            runtime: Runtime {
                metrics: metrics.clone(),
                shutdown: shutdown.clone(),
                health: health.clone(),
                ..runtime
            },
            identity: Identity {
                service: Service::Scheduler,
                instance: name.into(),
                epoch: 1,
            },
            control: self.control.clone(),
        };
        Scheduler {
            task: AbortOnDropHandle::new(tokio::spawn(relay_scheduler::run(config, deps))),
            shutdown,
            metrics,
            health,
        }
    }

    pub(crate) async fn offer(&self, specs: impl IntoIterator<Item = Spec>) {
        let record = |spec: Spec| {
            let ready = spec.ready();
            Outgoing::keyed(
                topics::ready("default"),
                spec.tenant.clone(),
                Headers::of(&ready.request),
                encode(&ready),
            )
        };
        self.bus
            .publish(specs.into_iter().map(record).collect(), Vec::new())
            .await
            .unwrap();
    }

    pub(crate) async fn reader(&self, topic: &str) -> Box<dyn Reader> {
        let partitions = self.bus.partitions(topic).await.unwrap();
        let from = (0..partitions)
            .map(|number| (Partition::new(topic, number), StartAt::Start))
            .collect();
        self.bus.read(from).await.unwrap()
    }

    /// Reads `topic` from its start until `enough` of its records.
    pub(crate) async fn read<T: relay_schemas::Record>(
        &self,
        topic: &str,
        mut enough: impl FnMut(&[T]) -> bool,
    ) -> Vec<T> {
        let mut reader = self.reader(topic).await;
        let mut found = Vec::new();
        let read = async {
            while !enough(&found) {
                let records = reader.next().await.unwrap();
                found.extend(
                    records
                        .iter()
                        .filter_map(|record| decode::<T>(record.value.as_deref()?).ok()),
                );
            }
        };
        tokio::time::timeout(PATIENCE, read)
            .await
            .expect("the records come");
        found
    }

    pub(crate) async fn pool_status(&self, mut holds: impl FnMut(&PoolStatus) -> bool) -> PoolStatus {
        let mut listener = listen::<PoolStatus>(&*self.control, &subjects::pool_status("default"))
            .await
            .unwrap();
        let wait = async {
            loop {
                match listener.next().await {
                    Some(Delivery::Message(status)) if holds(&status) => return status,
                    Some(_) => {}
                    None => panic!("the seam is closed"),
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .expect("the pool comes to that")
    }
}

/// A worker played by the test: runs what names it, ends it when told to, counts what it was given.
pub(crate) struct Played {
    status: WorkerStatus,
    pub(crate) held: BTreeMap<String, Work>,
    pub(crate) attempts: Vec<(String, u32)>,
    pub(crate) ends: bool,
}

impl Played {
    pub(crate) fn new(slots: u32) -> Self {
        let mut status = worker("w", 1, slots, 0);
        status.short_partitions = (0..6).collect();
        Self {
            status,
            held: BTreeMap::new(),
            attempts: Vec::new(),
            ends: false,
        }
    }

    pub(crate) async fn tell(&mut self, stand: &Stand) {
        self.status.seq += 1;
        let shown = |work: &Work| InFlight {
            request_id: work.request.request_id.clone(),
            attempt: work.lease.attempt,
            scheduler_epoch: work.lease.scheduler_epoch,
            tokens: TokenCount(0),
        };
        self.status.in_flight = self.held.values().map(shown).collect();
        send(
            &*stand.control,
            &subjects::worker_status("default"),
            self.status.clone(),
        )
        .await
        .unwrap();
    }

    /// Ends what it holds.
    async fn finish(&mut self, stand: &Stand) {
        let outcome = |work: &Work| {
            let mut ending = Ending::of(OutcomeStatus::Completed);
            ending.usage = Usage {
                prompt_tokens: work.request.prompt_tokens,
                completion_tokens: TokenCount(3),
            };
            let run = run_of(Service::Workers, "w", work.lease.attempt);
            let outcome = end(Known::Work(work), run, ending, relay_clock::Clock::system().now());
            let key = outcome.request_id.as_str().to_owned();
            Outgoing::keyed(
                topics::OUTCOMES,
                key,
                Headers::of(&work.request),
                encode(&outcome),
            )
        };
        let outcomes: Vec<Outgoing> = self.held.values().map(outcome).collect();
        if !outcomes.is_empty() {
            stand.bus.publish(outcomes, Vec::new()).await.unwrap();
            self.held.clear();
        }
    }

    /// Works until `enough` attempts were taken.
    pub(crate) async fn work(&mut self, stand: &Stand, reader: &mut dyn Reader, enough: usize) {
        let mut beat = tokio::time::interval(Duration::from_millis(50));
        let work = async {
            while self.attempts.len() < enough || (self.ends && !self.held.is_empty()) {
                tokio::select! {
                    records = reader.next() => {
                        for record in records.unwrap() {
                            let work: Work = decode(record.value.as_deref().unwrap()).unwrap();
                            let id = work.request.request_id.as_str().to_owned();
                            self.attempts.push((id.clone(), work.lease.attempt));
                            self.held.insert(id, work);
                        }
                    }
                    _ = beat.tick() => {}
                }
                if self.ends {
                    self.finish(stand).await;
                }
                self.tell(stand).await;
            }
        };
        tokio::time::timeout(PATIENCE, work).await.expect("work comes");
    }
}

pub(crate) fn specs(count: usize) -> impl Iterator<Item = Spec> {
    let deadline = relay_clock::Clock::system().now().0 + 600_000;
    (0..count).map(move |n| Spec {
        deadline,
        ..Spec::new(format!("r{n}"), format!("t{}", n % 7))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_takes_over_and_nothing_runs_twice_or_is_charged_wrongly() {
    let stand = Stand::new();
    let first = stand.scheduler("s1");
    stand.offer(specs(1_050)).await;
    let mut worker = Played::new(50);
    let mut reader = stand.reader(&topics::work_short("default")).await;
    worker.work(&stand, &mut *reader, 50).await;
    let mut queued =
        pin!(stand.pool_status(|status| status.running == 50 && status.waiting_interactive == 1_000));
    // Until all is queued, which may take a while, it goes on telling what it runs: silent, it would be taken for dead.
    while tokio::time::timeout(Duration::from_millis(100), queued.as_mut())
        .await
        .is_err()
    {
        worker.tell(&stand).await;
    }
    let standby = stand.scheduler("s2");
    drop(first);
    worker.ends = true;
    worker.work(&stand, &mut *reader, 1_050).await;
    let ids: BTreeSet<&str> = worker.attempts.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(
        (ids.len(), worker.attempts.len()),
        (1_050, 1_050),
        "each was dispatched once"
    );
    assert!(worker.attempts.iter().all(|(_, attempt)| *attempt == 1));
    let idle = stand
        .pool_status(|status| status.running == 0 && status.waiting_interactive == 0)
        .await;
    assert_eq!(idle.scheduler.as_str(), "s2");
    standby.shutdown.drain();
    tokio::time::timeout(PATIENCE, standby.task)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let charged = |lines: &[SchedulerRecord]| {
        let last = lines.iter().rev().find_map(|line| line.snapshot.as_ref());
        last.map(|snapshot| (snapshot.prompt_tokens, snapshot.completion_tokens))
    };
    let expected = Some((1_050 * 10, 1_050 * 3));
    stand
        .read(&topics::scheduler("default"), |lines| charged(lines) == expected)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_in_which_nothing_happens_says_so_again_and_again() {
    let stand = Stand::new();
    let _scheduler = stand.scheduler("s1");
    let mut heard = 0;
    let last = stand
        .pool_status(|_| {
            heard += 1;
            heard == 4
        })
        .await;
    assert_eq!(
        (last.waiting_batch, last.waiting_interactive, last.running),
        (0, 0, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_stop_lets_the_standby_lead_at_once() {
    let stand = Stand::new();
    let first = stand.scheduler("s1");
    stand
        .pool_status(|status| status.scheduler.as_str() == "s1")
        .await;
    let _standby = stand.scheduler("s2");
    stand.offer(specs(3)).await;
    first.shutdown.drain();
    tokio::time::timeout(PATIENCE, first.task)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let status = stand
        .pool_status(|status| status.scheduler.as_str() == "s2")
        .await;
    assert_eq!(status.waiting_interactive, 3);
    let topic = topics::scheduler("default");
    let written = |lines: &[SchedulerRecord]| {
        lines
            .iter()
            .any(|line| line.scheduler.as_str() == "s2" && line.snapshot.is_some())
    };
    let lines = stand.read::<SchedulerRecord>(&topic, written).await;
    let of = |kind, who: &str| {
        lines
            .iter()
            .filter(|line| line.kind == kind && line.scheduler.as_str() == who)
            .count()
    };
    assert_eq!(of(relay_schemas::SchedulerRecordKind::Resignation, "s1"), 1);
    assert_eq!(of(relay_schemas::SchedulerRecordKind::Claim, "s2"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_expires_in_the_queue_gets_its_outcome_and_then_its_final_frame() {
    let stand = Stand::new();
    let _scheduler = stand.scheduler("s1");
    let mut frames = listen::<Frame>(&*stand.control, "relay.reply.>").await.unwrap();
    stand.pool_status(|_| true).await;
    let soon = relay_clock::Clock::system().now().0 + 200;
    stand
        .offer([Spec {
            deadline: soon,
            ..Spec::new("late", "t")
        }])
        .await;
    let frame = tokio::time::timeout(PATIENCE, frames.next()).await.unwrap();
    let Some(Delivery::Message(frame)) = frame else {
        panic!("a frame: {frame:?}")
    };
    assert_eq!(frame.end.unwrap().code.as_deref(), Some("deadline_exceeded"));
    let outcomes = stand
        .read::<Outcome>(topics::OUTCOMES, |outcomes| !outcomes.is_empty())
        .await;
    assert_eq!((outcomes.len(), outcomes[0].status), (1, OutcomeStatus::Expired));
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_becomes_dead_letters_and_only_a_request_on_ready_ends_by_it() {
    let stand = Stand::new();
    let _scheduler = stand.scheduler("s1");
    stand.pool_status(|_| true).await;
    let garbage = |topic: String, id: &str| {
        let request = Spec::new(id, "t").ready().request;
        Outgoing::keyed(
            topic,
            id.to_owned(),
            Headers::of(&request),
            bytes::Bytes::from_static(b"garbage"),
        )
    };
    let records = vec![
        garbage(topics::ready("default"), "on-ready"),
        garbage(topics::work_long("default"), "on-work"),
        garbage(topics::OUTCOMES.to_owned(), "on-outcomes"),
        garbage(topics::scheduler("default"), "on-scheduler"),
    ];
    stand.bus.publish(records, Vec::new()).await.unwrap();
    let letters = stand
        .read::<DeadLetter>(topics::DEAD_LETTERS, |letters| letters.len() == 4)
        .await;
    let sources: BTreeSet<&str> = letters
        .iter()
        .map(|letter| letter.source_topic.as_str())
        .collect();
    assert_eq!(sources.len(), 4);
    let outcomes = stand
        .read::<Outcome>(topics::OUTCOMES, |outcomes| !outcomes.is_empty())
        .await;
    let ended: Vec<&str> = outcomes
        .iter()
        .map(|outcome| outcome.request_id.as_str())
        .collect();
    assert_eq!(ended, ["on-ready"]);
    stand.offer(specs(1)).await;
    stand.pool_status(|status| status.waiting_interactive == 1).await;
}
