//! Commits on their way to the brokers: they come a moment behind what was published with them, and not at all where their process
//! ends before.

use std::sync::{Arc, Weak};

use super::faults::Happened;
use super::process::Process;
use crate::{Bus, BusError, Commit};

/// Has `commits` arrive some time.
pub(super) async fn behind(process: &Arc<Process>, commits: Vec<Commit>) {
    if commits.is_empty() {
        return;
    }
    process.commits.lock().extend(commits);
    let delay = process.world.delay();
    // What does not arrive now goes with the next ones.
    if delay.is_zero() {
        let _ = arrive(process).await;
        return;
    }
    let process = Arc::clone(process);
    tokio::spawn(async move {
        process.pause(delay).await;
        let _ = arrive(&process).await;
    });
}

/// Everything that is on its way arrives now, if the brokers are reached; what is void is passed over.
pub(super) async fn arrive(process: &Process) -> Result<(), BusError> {
    if process.commits.lock().is_empty() {
        return Ok(());
    }
    let risen = process.reached()?;
    let commits = std::mem::take(&mut *process.commits.lock());
    let commits: Vec<Commit> = commits
        .into_iter()
        .filter(|commit| stands(process, commit))
        .collect();
    let end = risen.bus.publish(Vec::new(), commits).await;
    process.told(risen.rise, end).map(|_| ())
}

/// Whether the partition is still this process's, where that is a member of the group at all.
fn stands(process: &Process, commit: &Commit) -> bool {
    let seats = process.seats.lock();
    let seats: Vec<_> = seats
        .get(&commit.group)
        .into_iter()
        .flatten()
        .filter_map(Weak::upgrade)
        .collect();
    let stands = seats.is_empty() || seats.iter().any(|seat| seat.owns(&commit.partition));
    if !stands {
        process.world.count(Happened::CommitVoid);
    }
    stands
}
