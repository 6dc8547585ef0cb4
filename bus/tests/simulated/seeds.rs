//! A seed is a run.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use relay_bus::simulated::{Fall, Faults, SimulatedLog};
use relay_bus::{Bus, Commit, ConsumerEvent};
use tokio::time::Instant;

use crate::house::{BROKERS, COLUMNS, log, placed, process};
use parking_lot::Mutex;

#[derive(Clone)]
struct Trace(Arc<Mutex<String>>, Instant);

impl Trace {
    fn line(&self, what: std::fmt::Arguments<'_>) {
        writeln!(self.0.lock(), "{:>6} {what}", self.1.elapsed().as_millis()).unwrap();
    }
}

/// Reads, publishes what it read, and commits.
async fn serve(log: SimulatedLog, name: String, trace: Trace) {
    let column = COLUMNS[1];
    let process = process(&log, &name, column);
    let mut member = loop {
        match process.bus.subscribe("g", &["fast".to_owned()]).await {
            Ok(member) => break member,
            Err(error) => trace.line(format_args!("{name} {error}")),
        }
    };
    loop {
        match member.next().await {
            Ok(ConsumerEvent::Records(records)) => {
                let out = records.iter().map(|record| {
                    placed(
                        "safe",
                        record.position.partition.partition,
                        record.value.clone().unwrap().to_vec(),
                    )
                });
                let commits = records.iter().map(|record| Commit {
                    group: "g".to_owned(),
                    partition: record.position.partition.clone(),
                    next: record.position.offset + 1,
                });
                let published = process.bus.publish(out.collect(), commits.collect()).await;
                trace.line(format_args!("{name} {} records {published:?}", records.len()));
            }
            event => trace.line(format_args!("{name} {event:?}")),
        }
    }
}

async fn run(seed: u64) -> String {
    let log = log(seed);
    log.be(Faults {
        delay: Duration::from_millis(15),
        sync: Duration::from_millis(10),
        not_taken: 30,
        acknowledgement_lost: 30,
        in_part: 30,
        place_lost: 20,
        short: false,
    });
    let trace = Trace(Arc::default(), Instant::now());
    let servers: Vec<_> = ["a", "b"]
        .map(|name| tokio::spawn(serve(log.clone(), name.to_owned(), trace.clone())))
        .into();
    let client = process(&log, "client", BROKERS);
    for n in 0..120_i32 {
        let published = client
            .bus
            .publish(vec![placed("fast", n % 2, n.to_string())], Vec::new())
            .await;
        trace.line(format_args!("client {published:?}"));
        match n {
            30 => log.reach("a", false),
            50 => log.reach("a", true),
            70 => log.fall(Fall::Killed),
            75 => log.rise().unwrap(),
            90 => log.stand_still(),
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        log.go_on();
    }
    for server in servers {
        server.abort();
    }
    trace.line(format_args!("{:?}", log.take_happened()));
    let trace = trace.0.lock();
    trace.clone()
}

#[test]
fn the_same_seed_is_the_same_run_and_another_one_is_another() {
    let run = |seed| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build();
        runtime.unwrap().block_on(run(seed))
    };
    let runs: Vec<String> = (0..15).map(run).collect();
    for (seed, first) in runs.iter().enumerate() {
        let second = run(seed as u64);
        let differs = first.lines().zip(second.lines()).find(|(a, b)| a != b);
        assert!(*first == second, "seed {seed}: {differs:#?}");
    }
    assert!(runs.windows(2).all(|two| two[0] != two[1]));
}
