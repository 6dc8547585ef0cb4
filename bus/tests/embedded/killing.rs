//! The process is killed, on a real disk.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use relay_bus::{Bus, Commit, EmbeddedOptions, Partition};
use relay_settings::ByteSize;

use crate::house::{holds, open, record};

const CHILD_FOLDER: &str = "RELAY_TEST_CHILD_FOLDER";

/// Not a test of its own: the process that the next tests kill. Without the variable there is nothing to do.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_publishes_until_it_is_killed() {
    let Ok(folder) = std::env::var(CHILD_FOLDER) else {
        return;
    };
    let options = EmbeddedOptions {
        segment_size: ByteSize::kib(128),
        ..EmbeddedOptions::default()
    };
    let bus = Arc::new(open(Path::new(&folder), options));
    let publishers: Vec<_> = [("safe", 0), ("safe", 1), ("fast", 0), ("fast", 1)]
        .into_iter()
        .map(|(topic, partition)| {
            let bus = Arc::clone(&bus);
            tokio::spawn(async move {
                loop {
                    let commit = Commit {
                        group: "g".to_owned(),
                        partition: Partition::new(topic, partition),
                        next: 1,
                    };
                    let positions = bus
                        .publish(vec![record(topic, partition, vec![9; 1000])], vec![commit])
                        .await
                        .unwrap();
                    let line = format!("acked {topic} {partition} {}\n", positions[0].offset);
                    std::io::stdout().write_all(line.as_bytes()).unwrap();
                }
            })
        })
        .collect();
    futures::future::try_join_all(publishers).await.unwrap();
}

/// Lets a child publish, kills it with SIGKILL, and returns what it had been acknowledged: topic, partition, offset.
fn killed_while_publishing(folder: &Path, lines: usize) -> Vec<(String, i32, i64)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "killing::child_that_publishes_until_it_is_killed",
            "--exact",
            "--nocapture",
        ])
        .env(CHILD_FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut acked = Vec::new();
    let mut line = String::new();
    while output.read_line(&mut line).unwrap() > 0 {
        let whole = line.ends_with('\n');
        if let (true, Some(rest)) = (whole, line.trim_end().split("acked ").nth(1)) {
            let parts: Vec<&str> = rest.split(' ').collect();
            acked.push((
                parts[0].to_owned(),
                parts[1].parse().unwrap(),
                parts[2].parse().unwrap(),
            ));
            if acked.len() == lines {
                child.kill().unwrap();
            }
        }
        line.clear();
    }
    child.wait().unwrap();
    assert!(acked.len() >= lines);
    acked
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    for lines in [50, 2000] {
        let acked = killed_while_publishing(folder.path(), lines);
        let bus = open(folder.path(), EmbeddedOptions::default());
        holds(&bus, &acked, &["safe", "fast"]).await;
        // Each publish carried a commit; a publisher that was not acknowledged in time has none to keep.
        for (topic, partition, _) in &acked {
            let partition = Partition::new(topic.as_str(), *partition);
            assert_eq!(
                bus.committed("g", &partition).await.unwrap(),
                Some(1),
                "{partition:?}"
            );
        }
    }
}
