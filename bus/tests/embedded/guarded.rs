//! Another program in the folder of a running log.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use relay_bus::{Bus, BusError, EmbeddedBus, EmbeddedOptions};
use relay_clock::Clock;

use crate::house::{all, eager, eventually, offsets, open, record, topics};

fn newest_segment(folder: &Path) -> PathBuf {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let segments = files.filter(|path| path.extension().is_some_and(|extension| extension == "seg"));
    segments.max().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_is_removed_under_a_running_log_takes_no_acknowledged_record_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let bus = open(folder.path(), eager());
    for n in 0..30 {
        if n % 10 == 5 {
            fs::remove_file(newest_segment(folder.path())).unwrap();
        }
        let published = bus.publish(vec![record("safe", 0, format!("{n}"))], Vec::new());
        published.await.unwrap();
    }
    // In quiet times too.
    let newest = newest_segment(folder.path());
    fs::remove_file(&newest).unwrap();
    eventually("it has its name again", async || newest.exists()).await;
    drop(bus);
    let bus = open(folder.path(), eager());
    assert_eq!(offsets(&all(&bus, "safe", 0).await), (0..30).collect::<Vec<_>>());
}

/// Found by reading: nobody looked any more, and what was acknowledged went with the last descriptor.
#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_is_removed_in_a_quiet_time_is_there_again_after_a_clean_end() {
    let folder = tempfile::tempdir().unwrap();
    let rarely = || EmbeddedOptions {
        tidy_interval: Duration::from_secs(3_600),
        ..EmbeddedOptions::default()
    };
    let bus = open(folder.path(), rarely());
    bus.publish(vec![record("safe", 0, "a")], Vec::new())
        .await
        .unwrap();
    drop(bus);
    // Opened again and not written to: nothing is to be synced at its end.
    let bus = open(folder.path(), rarely());
    fs::remove_file(newest_segment(folder.path())).unwrap();
    drop(bus);
    let bus = open(folder.path(), rarely());
    assert_eq!(offsets(&all(&bus, "safe", 0).await), [0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_whose_lock_file_was_removed_is_still_opened_by_one_only() {
    let folder = tempfile::tempdir().unwrap();
    let bus = open(folder.path(), eager());
    fs::remove_file(folder.path().join("LOCK")).unwrap();
    let second = EmbeddedBus::open(folder.path(), &topics(), eager(), &Clock::system());
    assert!(matches!(second, Err(BusError::Unavailable(reason)) if reason.contains("in use")));
    let published = bus.publish(vec![record("safe", 0, "first".to_owned())], Vec::new());
    published.await.unwrap();
}
