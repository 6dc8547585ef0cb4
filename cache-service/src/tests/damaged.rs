//! Records that the log damaged, on the whole service.

use std::sync::Arc;
use std::time::Duration;

use relay_bus::testing::{buried, first, with_damaged};
use relay_bus::topics::{self, Manifest, OUTCOMES, PLANNED};
use relay_bus::{Bus, Headers, Outgoing, Partition, Position};
use relay_clock::Clock;
use relay_control::{InProcessControl, InProcessOptions};
use relay_runner::{Identity, Runtime};
use relay_schemas::{Outcome, OutcomeStatus, Planned, Ready, Service, encode};

use crate::testing::{NOW, completed, planned};
use crate::{Config, Deps, FILL_GROUP, run};

fn named(topic: &str, planned: &Planned, value: bytes::Bytes) -> Outgoing {
    Outgoing::to_partition(&Partition::new(topic, 1), Headers::of(&planned.request), value)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_damaged_is_a_dead_letter_with_its_position_and_what_follows_is_looked_up_and_filled() {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = Manifest::parse(include_str!("../../../deploy/topics.yaml")).expect("valid");
    let (lost, next) = (planned("acme", "lost"), planned("acme", "next"));
    // A third request, as what `next` asks must not be known before it is looked up.
    let answered = planned("acme", "answered");
    let mut unnamed = named(OUTCOMES, &lost, encode(&completed(&lost, "Rome")));
    unnamed.headers = Headers::default();
    let records = [
        named(PLANNED, &lost, encode(&lost)),
        named(PLANNED, &next, encode(&next)),
        unnamed.sealed(),
        named(OUTCOMES, &answered, encode(&completed(&answered, "Paris"))),
    ];
    let log = with_damaged(folder.path(), &manifest, &records, &[0, 2]).await;
    let bus: Arc<dyn Bus> = Arc::new(log);
    let runtime = Runtime {
        clock: Clock::manual(NOW).0,
        ..Runtime::new(bus.clone())
    };
    let deps = Deps {
        runtime: runtime.clone(),
        identity: Identity {
            service: Service::CacheService,
            instance: "cache".into(),
            epoch: 1,
        },
        control: Arc::new(InProcessControl::new(InProcessOptions::default())),
    };
    let running = tokio::spawn(run(Config::default(), deps));

    let at = |topic: &str| Position {
        partition: Partition::new(topic, 1),
        offset: 0,
    };
    let mut buried = buried(&*bus, 2).await;
    buried.sort();
    assert_eq!(buried, [at(OUTCOMES), at(PLANNED)]);

    let ready = &first::<Ready>(&*bus, &topics::ready("default"), 1).await[0];
    assert_eq!(ready.request.request_id, next.request.request_id);
    // Once the answer behind the damaged outcome has filled the cache, a repeat is answered from there.
    let outcomes = Partition::new(OUTCOMES, 1);
    while bus.committed(FILL_GROUP, &outcomes).await.expect("told") < Some(2) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut again = answered.clone();
    Arc::make_mut(&mut again.request).request_id = "again".into();
    let repeat = named(PLANNED, &again, encode(&again));
    bus.publish(vec![repeat], Vec::new()).await.expect("published");
    let ends = first::<Outcome>(&*bus, OUTCOMES, 3).await;
    let status = |id: &str| {
        let end = ends.iter().find(|end| end.request_id.as_str() == id);
        end.map(|end| (end.status, end.code.as_deref()))
    };
    let failed = (OutcomeStatus::Failed, Some("record_damaged"));
    assert_eq!(status(lost.request.request_id.as_str()), Some(failed));
    assert_eq!(status("again"), Some((OutcomeStatus::Cached, None)));

    runtime.shutdown.drain();
    running.await.expect("it ends").expect("well");
}
