//! A small service on the simulated log, through everything that can go wrong: what its client was told is taken is served.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use relay_bus::simulated::{Column, Fall, Faults, Happened, ProcessBus, SimulatedLog};
use relay_bus::{Bus, Commit, ConsumerEvent};
use relay_clock::Life;

use crate::house::{BROKERS, delays, held, log, placed};

/// How the service commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Commits {
    WithWhatItPublishes,
    /// As a careless one does.
    Before,
}

/// Takes what lies in `safe` to `fast`.
async fn serve(bus: Arc<ProcessBus>, commits: Commits) {
    loop {
        let Ok(mut member) = bus.subscribe("g", &["safe".to_owned()]).await else {
            continue;
        };
        // What cannot be published is begun anew.
        while let Ok(event) = member.next().await {
            let ConsumerEvent::Records(records) = event else {
                continue;
            };
            let out = records.iter().map(|record| {
                let value = record.value.clone().unwrap().to_vec();
                placed("fast", record.position.partition.partition, value)
            });
            let next = records.iter().map(|record| Commit {
                group: "g".to_owned(),
                partition: record.position.partition.clone(),
                next: record.position.offset + 1,
            });
            let mut next: Vec<Commit> = next.collect();
            if commits == Commits::Before {
                let _ = member.commit(std::mem::take(&mut next)).await;
            }
            if bus.publish(out.collect(), next).await.is_err() {
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A process that serves, from now on.
fn start(log: &SimulatedLog, name: &str, column: Column, commits: Commits) -> (Arc<ProcessBus>, Arc<Life>) {
    let life = Arc::new(Life::default());
    let bus = Arc::new(log.process(name, Arc::clone(&life), column));
    tokio::spawn(serve(Arc::clone(&bus), commits));
    (bus, life)
}

/// What was taken and never served, and what came to pass.
async fn storm(seed: u64, column: Column, commits: Commits) -> (Vec<String>, BTreeSet<Happened>) {
    let log = log(seed);
    let start = |name| start(&log, name, column, commits);
    log.be(Faults {
        sync: Duration::from_millis(10),
        not_taken: 50,
        acknowledgement_lost: 50,
        in_part: 50,
        place_lost: 50,
        ..delays(15)
    });
    let (mut first, mut life) = start("a");
    let (mut second, _) = start("b");
    let mut taken = BTreeSet::new();
    for n in 0..60_u64 {
        let value = n.to_string();
        let client = Arc::clone(if n % 2 == 0 { &first } else { &second });
        let publish = client.publish(vec![placed("safe", (n % 2) as i32, value.clone())], Vec::new());
        // A process that is dead or cut off says nothing for long.
        if let Ok(Ok(_)) = tokio::time::timeout(Duration::from_millis(1500), publish).await {
            taken.insert(value);
        }
        match (n + seed) % 20 {
            3 if column == Column::InProcess => {
                log.fall([Fall::PowerCut, Fall::Killed][seed as usize % 2]);
                log.rise().unwrap();
                (first, life) = start("a");
                second = start("b").0;
            }
            3 => {
                log.fall(Fall::Killed);
                tokio::time::sleep(Duration::from_secs(2)).await;
                log.rise().unwrap();
            }
            7 => {
                life.kill();
                (first, life) = start("a");
            }
            11 => life.freeze(),
            15 => life.thaw(),
            13 => log.reach("b", false),
            18 => log.reach("b", true),
            _ => {}
        }
    }
    log.be(Faults::default());
    log.reach("b", true);
    life.thaw();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let mut served = BTreeSet::new();
    for partition in [0, 1] {
        served.extend(held(&log, "fast", partition).await);
    }
    assert!(
        taken.len() > 20,
        "seed {seed}, {column:?}: only {} were taken",
        taken.len()
    );
    let missing = taken.difference(&served).cloned().collect();
    (missing, log.take_happened().into_keys().collect())
}

fn run(seed: u64, column: Column, commits: Commits) -> (Vec<String>, BTreeSet<Happened>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(storm(seed, column, commits))
}

#[test]
fn whatever_goes_wrong_what_was_taken_is_served() {
    let mut happened = BTreeSet::new();
    for seed in 0..25 {
        for column in [Column::InProcess, BROKERS] {
            let (missing, came) = run(seed, column, Commits::WithWhatItPublishes);
            assert!(
                missing.is_empty(),
                "seed {seed}, {column:?}: never served: {missing:?}"
            );
            happened.extend(came);
        }
    }
    for fault in [
        Happened::NotTaken,
        Happened::AcknowledgementLost,
        Happened::InPart,
        Happened::PlaceLost,
        Happened::SessionEnded,
        Happened::OutOfReach,
        Happened::NeverSent,
    ] {
        assert!(happened.contains(&fault), "{fault:?} never came to pass");
    }
}

#[test]
fn a_service_that_commits_before_it_publishes_is_found_out_in_either_column() {
    for column in [Column::InProcess, BROKERS] {
        let found = (0..25).find(|seed| !run(*seed, column, Commits::Before).0.is_empty());
        assert!(found.is_some(), "{column:?}");
    }
}
