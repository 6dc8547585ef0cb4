//! Another program in the folder of a running log.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use relay_bus::{Bus, BusError, EmbeddedBus};
use relay_clock::Clock;

use crate::house::{all, eager, offsets, open, record, topics};

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
    fs::remove_file(newest_segment(folder.path())).unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    drop(bus);
    let bus = open(folder.path(), eager());
    assert_eq!(offsets(&all(&bus, "safe", 0).await), (0..30).collect::<Vec<_>>());
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
