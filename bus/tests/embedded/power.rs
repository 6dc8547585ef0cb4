//! The power goes, on a simulated disk: of what was not synced any part is left.

use std::sync::Arc;

use parking_lot::Mutex;
use relay_bus::{Bus, EmbeddedBus, EmbeddedOptions};
use relay_log::simulated::SimulatedDisk;
use relay_settings::ByteSize;

use crate::house::{all, holds, offsets, open_on, record};

const PAGE: usize = 4096;

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_takes_what_was_not_synced_and_nothing_else() {
    let mut buffered = 0;
    for seed in 0..20 {
        let segment_size = [ByteSize::mib(2), ByteSize::kib(64)][seed % 2];
        let disk = SimulatedDisk::new(seed as u64, PAGE);
        let options = EmbeddedOptions {
            segment_size,
            ..EmbeddedOptions::default()
        };
        let bus = open_on(&disk, options.clone());
        for n in 0..100 {
            bus.publish(vec![record("fast", 0, vec![1; 1500])], Vec::new())
                .await
                .unwrap();
            if n % 10 == 0 {
                bus.publish(vec![record("safe", 0, format!("{n}"))], Vec::new())
                    .await
                    .unwrap();
            }
        }
        disk.cut_power();
        drop(bus);
        let bus = open_on(&disk, options);
        assert_eq!(offsets(&all(&bus, "safe", 0).await), (0..10).collect::<Vec<_>>());
        let fast = all(&bus, "fast", 0).await;
        assert!(
            (91..=100).contains(&fast.len()),
            "seed {seed}: {} buffered records are left",
            fast.len()
        );
        buffered += fast.len();
        assert_eq!(offsets(&fast), (0..fast.len() as i64).collect::<Vec<_>>());
        let positions = bus
            .publish(vec![record("safe", 0, "next")], Vec::new())
            .await
            .unwrap();
        assert_eq!(positions[0].offset, 10);
    }
    assert!(buffered < 20 * 100, "no cut took anything: nothing was shown");
}

type Acked = Arc<Mutex<Vec<(String, i32, i64)>>>;

/// Publishes until the log refuses, and writes down what was acknowledged.
async fn publish_on(bus: Arc<EmbeddedBus>, topic: &'static str, partition: i32, acked: Acked) {
    let published = async || {
        bus.publish(vec![record(topic, partition, vec![9; 1000])], Vec::new())
            .await
    };
    while let Ok(positions) = published().await {
        acked
            .lock()
            .push((topic.to_owned(), partition, positions[0].offset));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn power_loss_under_load_loses_nothing_that_was_to_be_on_disk() {
    for seed in 0..20 {
        let disk = SimulatedDisk::new(seed, PAGE);
        let options = EmbeddedOptions {
            segment_size: ByteSize::kib(128),
            ..EmbeddedOptions::default()
        };
        let bus = Arc::new(open_on(&disk, options.clone()));
        let acked = Acked::default();
        let publishers: Vec<_> = [("safe", 0), ("safe", 1), ("fast", 0), ("fast", 1)]
            .into_iter()
            .map(|(topic, partition)| {
                let publishing = publish_on(Arc::clone(&bus), topic, partition, Arc::clone(&acked));
                tokio::spawn(publishing)
            })
            .collect();
        while acked.lock().len() < 400 {
            tokio::task::yield_now().await;
        }
        disk.cut_power();
        // Those whose records wait for a sync would wait for as long as this process pretends to live.
        for publisher in publishers {
            publisher.abort();
            let _ = publisher.await;
        }
        drop(bus);
        let bus = open_on(&disk, options);
        // What was acknowledged from memory after the last sync may be gone.
        let acked = std::mem::take(&mut *acked.lock());
        holds(&bus, &acked, &["safe"]).await;
    }
}
