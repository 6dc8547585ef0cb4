//! A good file is published and then in force; a bad one changes nothing.

use std::sync::Arc;
use std::time::Duration;

use relay_bus::testing::{FaultyBus, Mood};
use relay_bus::topics::POLICIES;
use relay_runner::Runtime;
use relay_schemas::{PolicyBody, Registry};

use crate::metrics::Metrics;
use crate::reload::{Follower, InForce, Seen, first};
use crate::{LoadError, PolicyFile};

const BODY: &str = include_str!("../../../deploy/policy.yaml");

struct House {
    folder: tempfile::TempDir,
    bus: Arc<FaultyBus>,
    runtime: Runtime,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let topics = ["relay.ready.default.v1", POLICIES];
        let bus = Arc::new(FaultyBus::with_topics(&folder.path().join("log"), &topics));
        let house = Self {
            folder,
            runtime: Runtime::new(bus.clone()),
            bus,
        };
        house.write(BODY);
        house
    }

    fn file(&self) -> PolicyFile {
        PolicyFile::at(self.folder.path().join("policy.yaml"))
    }

    fn write(&self, body: &str) {
        std::fs::write(self.folder.path().join("policy.yaml"), body).expect("writable");
    }

    async fn started(&self) -> (InForce, Follower) {
        let in_force = first(&self.file(), &self.runtime)
            .await
            .expect("a good policy")
            .expect("no drain");
        let follower = Follower {
            file: self.file(),
            every: Duration::from_millis(1),
            runtime: self.runtime.clone(),
            in_force: in_force.clone(),
            metrics: Metrics::register(&self.runtime.metrics).expect("fresh"),
        };
        (in_force, follower)
    }

    fn versions(&self) -> Vec<String> {
        let registry = Registry::default();
        let published = self.bus.published();
        let body = |record: &relay_bus::Outgoing| -> PolicyBody {
            assert_eq!(record.topic, POLICIES);
            registry.decode(record.value.as_deref()).expect("a policy body")
        };
        published
            .iter()
            .map(|record| {
                let body = body(record);
                assert_eq!(record.key.as_deref(), Some(body.version.as_bytes()));
                body.version
            })
            .collect()
    }

    fn stale(&self) -> bool {
        let families = self.runtime.metrics.gather();
        let family = families
            .iter()
            .find(|family| family.name() == "relay_planner_policy_stale")
            .expect("registered");
        family.get_metric()[0].get_gauge().get_value() > 0.5
    }
}

/// Two looks: what has changed is tried once it stays the same.
async fn twice(follower: &Follower, seen: Seen) -> Seen {
    let seen = follower.look(seen).await;
    follower.look(seen).await
}

#[tokio::test]
async fn a_policy_is_published_before_it_is_in_force() {
    let house = House::new();
    let (in_force, _) = house.started().await;
    assert_eq!(house.versions(), [in_force.get().version()]);
}

#[tokio::test]
async fn a_changed_file_takes_over_and_a_bad_one_leaves_the_old_one_in_force() {
    let house = House::new();
    let (in_force, follower) = house.started().await;
    let before = in_force.get().version().to_owned();
    let seen = follower.look(Seen::tried(Ok(BODY.to_owned()))).await;
    assert_eq!(house.versions().len(), 1, "nothing changed, nothing happens");

    house.write(&BODY.replace("name: default", "name: second"));
    let seen = twice(&follower, seen).await;
    let second = in_force.get().version().to_owned();
    assert!(second.starts_with("second@"));
    assert_eq!(house.versions(), [before, second.clone()]);

    for bad in [
        "name: [",
        &BODY.replace("pools: [default]", "pools: [default, gpu]"),
    ] {
        house.write(bad);
        let seen = twice(&follower, seen.clone()).await;
        assert_eq!(
            (in_force.get().version(), house.stale()),
            (second.as_str(), true),
            "{bad}"
        );
        assert_eq!(seen.tried.as_deref(), Ok(bad), "it is tried and logged once");
    }
    std::fs::remove_file(house.folder.path().join("policy.yaml")).expect("it was there");
    let seen = twice(&follower, seen).await;
    assert!(matches!(seen.tried, Err(LoadError::Unreadable { .. })));
    assert_eq!(
        (in_force.get().version(), house.versions().len()),
        (second.as_str(), 2)
    );

    house.write(BODY);
    twice(&follower, seen).await.tried.expect("readable");
    assert!(!house.stale());
    assert_eq!(in_force.get().body(), BODY);
}

/// By reading: a file that was read while it was being written was adopted where its first half was a policy by itself.
#[tokio::test]
async fn half_a_file_is_not_adopted_while_it_is_being_written() {
    let house = House::new();
    let (in_force, follower) = house.started().await;
    let before = in_force.get().version().to_owned();
    let whole = format!("{}\n# and more\n", BODY.replace("name: default", "name: whole"));
    let half = BODY.replace("name: default", "name: half");
    let mut seen = Seen::tried(Ok(BODY.to_owned()));
    for written in [&half, &whole] {
        house.write(written);
        seen = follower.look(seen).await;
        assert_eq!(in_force.get().version(), before);
    }
    follower.look(seen).await;
    assert_eq!(in_force.get().body(), whole);
    assert_eq!(house.versions().len(), 2, "the half was never published");
}

#[tokio::test]
async fn while_the_bus_is_away_a_new_policy_waits() {
    let house = House::new();
    let (in_force, follower) = house.started().await;
    let seen = Seen::tried(Ok(BODY.to_owned()));
    house.write(&BODY.replace("name: default", "name: second"));
    house.bus.be(Mood::Away);
    let seen = twice(&follower, seen).await;
    assert!(in_force.get().version().starts_with("default@"));
    house.bus.be(Mood::Works);
    follower.look(seen).await.tried.expect("readable");
    assert!(in_force.get().version().starts_with("second@"));
}

#[tokio::test]
async fn a_bad_file_at_the_start_says_where_and_what() {
    let house = House::new();
    house.write(&BODY.replace("profile: chat", "profile: chit"));
    let error = first(&house.file(), &house.runtime)
        .await
        .expect_err("a bad policy")
        .to_string();
    let line = BODY
        .lines()
        .position(|line| line == "  profile: chat")
        .expect("the default's")
        + 1;
    let said = format!("policy.yaml:{line}:12: defaults.profile: there is no profile `chit`");
    assert!(error.contains(&said), "{error}");
}

#[tokio::test(start_paused = true)]
async fn at_the_start_it_waits_for_the_bus_and_for_its_topics() {
    let house = House::new();
    house.bus.be(Mood::Away);
    let runtime = house.runtime.clone();
    let file = house.file();
    let starting = tokio::spawn(async move { first(&file, &runtime).await });
    while house.runtime.health.is_ready() {
        tokio::task::yield_now().await;
        if house.runtime.health.all().contains_key("bus") {
            break;
        }
    }
    assert!(house.runtime.health.all()["bus"].is_some());
    house.bus.be(Mood::Works);
    let in_force = starting
        .await
        .expect("no panic")
        .expect("a good policy")
        .expect("no drain");
    assert_eq!(in_force.get().body(), BODY);
    assert!(house.runtime.health.is_ready());
}
