//! Fallback to another pool, on the embedded log, through the real services: as docs/policy.md and deploy/policy.yaml promise it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::sync::Arc;
use std::time::Duration;

use relay_bus::topics::{self, Manifest};
use relay_bus::{EmbeddedBus, EmbeddedOptions, Headers, Outgoing, Partition, StartAt, decode};
use relay_control::{Control, Delivery, InProcessControl, InProcessOptions, listen, subjects};
use relay_runner::{Identity, Runtime};
use relay_schemas::{Outcome, OutcomeStatus, PoolStatus, Request, Service, WorkerStatus, encode, samples};
use relay_workers::testing::mock;
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_secs(30);
const POLICY: &str = include_str!("../../deploy/policy.yaml");
const TOPICS: &str = include_str!("../../deploy/topics.yaml");

/// The policy that we ship, with its sample of a model behind an endpoint taken in.
fn policy() -> String {
    let sample = [
        "big-chat:",
        "  - { pool: remote, model: big-chat }",
        "  - { pool: default, model: relay-chat }",
    ];
    let mut text = POLICY.replace("pools: [default]", "pools: [default, remote]");
    for line in sample {
        let commented = format!("  # {line}");
        assert!(text.contains(&commented), "the sample has this line: {line}");
        text = text.replace(&commented, &format!("  {line}"));
    }
    text
}

/// Planner, cache service, the schedulers of both pools, and a worker of each pool that has models.
struct Pipeline {
    runtime: Runtime,
    folder: tempfile::TempDir,
    control: Arc<dyn Control>,
    services: JoinSet<()>,
}

impl Pipeline {
    fn start(hand_over_after: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let manifest = TOPICS.replace("pools: [default]", "pools: [default, remote]");
        let manifest = Manifest::parse(&manifest).unwrap();
        let bus = EmbeddedBus::open(
            folder.path().join("log"),
            &manifest,
            EmbeddedOptions::default(),
            &relay_clock::Clock::system(),
        )
        .unwrap();
        let mut pipeline = Self {
            runtime: Runtime::new(Arc::new(bus)),
            control: Arc::new(InProcessControl::new(InProcessOptions::default())),
            services: JoinSet::new(),
            folder,
        };
        let policy_file = pipeline.folder.path().join("policy.yaml");
        std::fs::write(&policy_file, policy()).unwrap();
        let planner = relay_planner::Config {
            policy: relay_planner::PolicyFile::at(policy_file),
            ..Default::default()
        };
        let scheduler = relay_scheduler::Config {
            pools: vec!["default".to_owned(), "remote".to_owned()],
            leases: relay_scheduler::Leases {
                hand_over_after,
                ..Default::default()
            },
            ..Default::default()
        };
        macro_rules! serve {
            ($service:ident, $name:ident, $config:expr) => {{
                let deps = $service::Deps {
                    runtime: pipeline.runtime.clone(),
                    identity: identity(Service::$name, "one"),
                    control: pipeline.control.clone(),
                };
                let running = $service::run($config, deps);
                pipeline
                    .services
                    .spawn(async move { running.await.unwrap() });
            }};
        }
        serve!(relay_planner, Planner, planner);
        serve!(
            relay_cache_service,
            CacheService,
            relay_cache_service::Config::default()
        );
        serve!(relay_scheduler, Scheduler, scheduler);
        pipeline
    }

    /// A worker of `pool` that reaches `model` at `url`.
    fn worker(&mut self, pool: &str, model: &str, url: &str) {
        self.worker_called(pool, pool, model, url, "");
    }

    /// A worker by name, with one more line about its model.
    fn worker_called(&mut self, name: &str, pool: &str, model: &str, url: &str, line: &str) {
        let models = self.folder.path().join(format!("{name}.yaml"));
        let text = format!(
            "models:\n  {model}:\n    backend: openai\n    base_url: {url}/v1\n    upstream_model: mock\n    {line}\n"
        );
        std::fs::write(&models, text).unwrap();
        let config = relay_workers::Config {
            pool: pool.to_owned(),
            models: Some(models),
            ..Default::default()
        };
        let deps = relay_workers::Deps {
            // Two workers of one process would register the same names.
            runtime: Runtime {
                metrics: prometheus::Registry::new(),
                ..self.runtime.clone()
            },
            identity: identity(Service::Workers, name),
            control: self.control.clone(),
        };
        self.services
            .spawn(async move { relay_workers::run(config, deps).await.unwrap() });
    }

    /// Waits until the scheduler of `pool` leads, and has then heard of these workers.
    async fn hears_of(&self, pool: &str, workers: &[&str]) {
        let subjects = [subjects::pool_status(pool), subjects::worker_status(pool)];
        let mut leads = listen::<PoolStatus>(&*self.control, &subjects[0]).await.unwrap();
        let mut told = listen::<WorkerStatus>(&*self.control, &subjects[1])
            .await
            .unwrap();
        let hearing = async {
            leads.next().await;
            for worker in workers {
                let mut heard = 0;
                while heard < 3 {
                    let status = told.next().await;
                    let takes = |status: &WorkerStatus| {
                        status.worker.as_str() == *worker && !status.short_partitions.is_empty()
                    };
                    heard += u32::from(matches!(status, Some(Delivery::Message(status)) if takes(&status)));
                }
            }
        };
        tokio::time::timeout(PATIENCE, hearing).await.unwrap();
    }

    /// Accepts a request for `big-chat`; its outcome.
    async fn ask(&self) -> Outcome {
        self.ask_many(1).await.remove(0)
    }

    /// Accepts so many requests for `big-chat` at once; their outcomes.
    async fn ask_many(&self, count: usize) -> Vec<Outcome> {
        let now = self.runtime.clock.now();
        let requests = (0..count).map(|nth| Request {
            request_id: format!("request-{nth}").as_str().into(),
            model: "big-chat".to_owned(),
            body: r#"{"model":"big-chat","messages":[{"role":"user","content":"red green"}],"max_tokens":2}"#
                .to_owned(),
            accepted_at: now,
            deadline: now.plus_ms(60_000),
            ..samples::request()
        });
        let bus = &self.runtime.bus;
        let partitions = bus.partitions(topics::OUTCOMES).await.unwrap();
        let from = (0..partitions).map(|at| (Partition::new(topics::OUTCOMES, at), StartAt::Start));
        let mut outcomes = bus.read(from.collect()).await.unwrap();
        let record = |request: Request| {
            let key = request.request_id.as_str().to_owned();
            Outgoing::keyed(topics::REQUESTS, key, Headers::of(&request), encode(&request))
        };
        bus.publish(requests.map(record).collect(), Vec::new())
            .await
            .unwrap();
        let mut ended = Vec::new();
        while ended.len() < count {
            let next = tokio::time::timeout(PATIENCE, outcomes.next());
            for record in next.await.unwrap().unwrap() {
                ended.push(decode(&self.runtime.schemas, &record).unwrap());
            }
        }
        assert_eq!(ended.len(), count);
        ended
    }
}

fn identity(service: Service, instance: &str) -> Identity {
    Identity {
        service,
        instance: instance.into(),
        epoch: 1,
    }
}

/// It was answered by the local model, and its decision trace says why; the code.
fn fell_back(outcome: &Outcome) -> &str {
    assert_eq!(outcome.status, OutcomeStatus::Completed, "{outcome:?}");
    let answer = outcome.answer.as_ref().unwrap();
    assert_eq!(answer.model, "relay-chat");
    let planning = outcome.planning.as_ref().unwrap();
    assert_eq!(planning.plan.candidates[0].model, "big-chat");
    assert_eq!(planning.handovers.len(), 1);
    let handover = &planning.handovers[0];
    assert_eq!(
        (handover.from_pool.as_str(), handover.to_pool.as_str()),
        ("remote", "default")
    );
    assert!(!handover.message.is_empty());
    assert_eq!(outcome.queueing.as_ref().unwrap().pool, "default");
    &handover.code
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_behind_any_openai_compatible_endpoint_has_the_local_one_to_fall_back_on() {
    let local = mock::Mock::start(0, mock::Settings::default()).await.unwrap();
    let mut pipeline = Pipeline::start(Duration::from_mins(1));
    // Nothing listens there.
    pipeline.worker("remote", "big-chat", "http://127.0.0.1:9");
    pipeline.worker("default", "relay-chat", &local.url());
    let outcome = pipeline.ask().await;
    assert_eq!(fell_back(&outcome), "backend_unavailable");
    // A scheduler that has just begun to lead waits for other workers to be heard of, and then tries once more.
    let attempt = outcome.lease.as_ref().unwrap().attempt;
    assert!((2..=3).contains(&attempt), "{attempt}");
    assert_eq!(local.requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_later_candidates_are_fallbacks_also_where_no_worker_runs_the_first() {
    let local = mock::Mock::start(0, mock::Settings::default()).await.unwrap();
    let mut pipeline = Pipeline::start(Duration::from_millis(500));
    pipeline.worker("default", "relay-chat", &local.url());
    let outcome = pipeline.ask().await;
    assert_eq!(fell_back(&outcome), "no_worker");
    assert_eq!(outcome.lease.as_ref().unwrap().attempt, 1);
}

/// The literal case: 146 of 200 requests ended with 503 beside a healthy worker. One worker's model cannot be loaded; another's endpoint
/// cannot be reached.
#[tokio::test(flavor = "multi_thread")]
async fn beside_workers_that_cannot_run_the_model_a_healthy_one_answers_every_request() {
    let sound = mock::Mock::start(0, mock::Settings::default()).await.unwrap();
    let mut pipeline = Pipeline::start(Duration::from_mins(1));
    let (url, nowhere) = (sound.url(), "http://127.0.0.1:9");
    pipeline.worker_called("a", "remote", "big-chat", &url, "api_key_env: RELAY_NO_SUCH_KEY");
    pipeline.worker_called("b", "remote", "big-chat", nowhere, "retries: 0");
    pipeline.worker_called("c", "remote", "big-chat", &url, "max_concurrent: 4");
    pipeline.hears_of("remote", &["b", "c"]).await;
    let outcomes = pipeline.ask_many(200).await;
    for outcome in &outcomes {
        assert_eq!(outcome.status, OutcomeStatus::Completed, "{outcome:?}");
        assert_eq!(outcome.run.instance.as_str(), "c");
    }
    assert_eq!(sound.requests(), 200, "each was asked and paid once");
}
