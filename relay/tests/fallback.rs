//! Fallback to another pool, on the embedded log, through the real services: as docs/policy.md and deploy/policy.yaml promise it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::sync::Arc;
use std::time::Duration;

use relay_bus::topics::{self, Manifest};
use relay_bus::{EmbeddedBus, EmbeddedOptions, Headers, Outgoing, Partition, StartAt, decode};
use relay_control::{Control, InProcessControl, InProcessOptions};
use relay_runner::{Identity, Runtime};
use relay_schemas::{Outcome, OutcomeStatus, Request, Service, encode, samples};
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
        let models = self.folder.path().join(format!("{pool}.yaml"));
        let text = format!(
            "models:\n  {model}:\n    backend: openai\n    base_url: {url}/v1\n    upstream_model: mock\n"
        );
        std::fs::write(&models, text).unwrap();
        let config = relay_workers::Config {
            pool: pool.to_owned(),
            models,
            ..Default::default()
        };
        let deps = relay_workers::Deps {
            // Two workers of one process would register the same names.
            runtime: Runtime {
                metrics: prometheus::Registry::new(),
                ..self.runtime.clone()
            },
            identity: identity(Service::Workers, pool),
            control: self.control.clone(),
        };
        self.services
            .spawn(async move { relay_workers::run(config, deps).await.unwrap() });
    }

    /// Accepts a request for `big-chat`; its outcome.
    async fn ask(&self) -> Outcome {
        let now = self.runtime.clock.now();
        let request = Request {
            model: "big-chat".to_owned(),
            body: r#"{"model":"big-chat","messages":[{"role":"user","content":"red green"}],"max_tokens":2}"#
                .to_owned(),
            accepted_at: now,
            deadline: now.plus_ms(60_000),
            ..samples::request()
        };
        let bus = &self.runtime.bus;
        let partitions = bus.partitions(topics::OUTCOMES).await.unwrap();
        let from = (0..partitions).map(|at| (Partition::new(topics::OUTCOMES, at), StartAt::Start));
        let mut outcomes = bus.read(from.collect()).await.unwrap();
        let key = request.request_id.as_str().to_owned();
        let record = Outgoing::keyed(topics::REQUESTS, key, Headers::of(&request), encode(&request));
        bus.publish(vec![record], Vec::new()).await.unwrap();
        let records = tokio::time::timeout(PATIENCE, outcomes.next())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(records.len(), 1);
        decode(&self.runtime.schemas, &records[0]).unwrap()
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
    assert_eq!(outcome.lease.as_ref().unwrap().attempt, 2);
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
