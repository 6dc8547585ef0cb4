//! The services that ship, on one thread and in a time that is the simulation's: on the log that ships, over a simulated disk, and on a
//! simulated control seam. One seed is one run, to the byte.
//!
//! `stand` is what processes stand on, `log` and `control` what each of them sees of the seams, `trace` what happened, `time` the time that
//! passes; `worker` is played still.

mod control;
mod log;
mod stand;
mod time;
mod trace;
mod worker;

use std::collections::BTreeMap;
use std::time::Duration;

use relay_bus::{Headers, Outgoing, Partition, StartAt, topics};
use relay_planner::PolicyFile;
use relay_schemas::{Outcome, OutcomeStatus, Request, RequestId, Service, TenantId, decode, encode, samples};

use self::stand::{Process, Stand};
pub use self::trace::difference;

const POLICY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/policy.yaml");
/// Requests of one run.
const REQUESTS: u32 = 30;
/// Longest time between two of them, milliseconds.
const BETWEEN_MS: u32 = 200;
/// When the first scheduler dies at the latest, milliseconds.
const KILLED_MS: u32 = 4_000;
/// After this time whatever has not ended never will.
const PATIENCE: Duration = Duration::from_mins(2);

/// What a run came to.
#[derive(Debug)]
pub struct Ran {
    /// What happened at the seams, line by line.
    pub trace: String,
    /// How requests ended, in the order of the log.
    pub ends: BTreeMap<RequestId, Vec<OutcomeStatus>>,
}

impl Ran {
    /// How many requests ended, and not twice.
    pub fn ended_once(&self) -> usize {
        self.ends.values().filter(|ends| ends.len() == 1).count()
    }
}

/// Runs planner, cache service, two schedulers, of which one is killed, and a played worker, until all requests of the run have ended.
///
/// # Panics
/// If no runtime can be had.
pub fn run(seed: u64) -> Ran {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime of one thread");
    runtime.block_on(async {
        let stand = Stand::new(seed);
        let ends = drive(&stand).await;
        Ran {
            trace: stand.trace.text(),
            ends,
        }
    })
}

async fn drive(stand: &Stand) -> BTreeMap<RequestId, Vec<OutcomeStatus>> {
    let _planner = planner(stand);
    let _cache_service = cache_service(stand);
    let first = scheduler(stand, "scheduler-1");
    let _second = scheduler(stand, "scheduler-2");
    let _worker = stand.start(Service::Workers, "worker-1", worker::run);
    let ms = |most: u32| Duration::from_millis((stand.chance.draw::<u32>() % (most + 1)).into());
    let killing = async {
        tokio::time::sleep(ms(KILLED_MS)).await;
        first.kill();
    };
    let asking = async {
        for number in 0..REQUESTS {
            tokio::time::sleep(ms(BETWEEN_MS)).await;
            ask(stand, number).await;
        }
    };
    let ending = async { tokio::time::timeout(PATIENCE, ends(stand)).await };
    let ((), (), ended) = tokio::join!(killing, asking, ending);
    ended.unwrap_or_default()
}

fn planner(stand: &Stand) -> Process {
    stand.start(Service::Planner, "planner", |handed| {
        let config = relay_planner::Config {
            policy: PolicyFile::at(POLICY),
            ..relay_planner::Config::default()
        };
        let deps = relay_planner::Deps {
            runtime: handed.runtime,
            identity: handed.identity,
            control: handed.control,
        };
        relay_planner::run(config, deps)
    })
}

fn cache_service(stand: &Stand) -> Process {
    stand.start(Service::CacheService, "cache-service", |handed| {
        let deps = relay_cache_service::Deps {
            runtime: handed.runtime,
            identity: handed.identity,
            control: handed.control,
        };
        relay_cache_service::run(relay_cache_service::Config::default(), deps)
    })
}

fn scheduler(stand: &Stand, name: &str) -> Process {
    stand.start(Service::Scheduler, name, |handed| {
        let config = relay_scheduler::Config {
            pools: vec!["default".to_owned(), "spare".to_owned()],
            ..relay_scheduler::Config::default()
        };
        let deps = relay_scheduler::Deps {
            runtime: handed.runtime,
            identity: handed.identity,
            control: handed.control,
        };
        relay_scheduler::run(config, deps)
    })
}

/// Writes a request, as an ingress does that accepts it.
async fn ask(stand: &Stand, number: u32) {
    let now = stand.clock.now();
    let request = Request {
        request_id: RequestId::new(format!("r{number:02}")),
        tenant: TenantId::new(format!("tenant-{}", number % 3)),
        model: "model".to_owned(),
        request_hash: format!("{number:064x}"),
        accepted_at: now,
        deadline: now.plus_ms(60_000),
        ..samples::request()
    };
    let key = request.request_id.as_str().to_owned();
    let record = Outgoing::keyed(topics::REQUESTS, key, Headers::of(&request), encode(&request));
    stand
        .trace
        .line("client", format_args!("asks {}", request.request_id));
    stand
        .log
        .publish(vec![record], Vec::new())
        .await
        .expect("the log takes it");
}

/// How all requests ended, once they have.
async fn ends(stand: &Stand) -> BTreeMap<RequestId, Vec<OutcomeStatus>> {
    let partitions = stand.log.partitions(topics::OUTCOMES).await.unwrap_or(0);
    let from = (0..partitions).map(|number| (Partition::new(topics::OUTCOMES, number), StartAt::Start));
    let mut reader = stand
        .log
        .read(from.collect())
        .await
        .expect("outcomes can be read");
    let mut ends: BTreeMap<RequestId, Vec<OutcomeStatus>> = BTreeMap::new();
    while ends.len() < REQUESTS as usize {
        for record in reader.next().await.expect("outcomes can be read") {
            let outcome: Outcome = decode(record.value.as_deref().unwrap_or_default()).expect("an outcome");
            ends.entry(outcome.request_id).or_default().push(outcome.status);
        }
    }
    ends
}
