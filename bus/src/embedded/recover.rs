//! Opening: what the log knows is taken from its notes.

use std::sync::Arc;

use relay_log::format::segment_name;
use relay_log::{Log, Opened};

use super::disk::Disk;
use super::notes::{self, Note};
use super::shared::Shared;
use super::topic::TopicLog;
use crate::BusError;

/// Fills a fresh [`Shared`] from its log.
pub(super) fn recover(shared: &Shared) -> Result<(), BusError> {
    let mut log = shared.log.lock();
    let mut lows = Vec::new();
    for (name, value) in log.notes() {
        match notes::parse(name, value) {
            Some(Note::Topic(topic)) => {
                let topic = TopicLog::read(&topic, &shared.tail).ok_or_else(|| {
                    BusError::Fatal("the log's list of topics is of another version of Relay".to_owned())
                })?;
                shared
                    .topics
                    .write()
                    .insert(topic.settings().name, Arc::new(topic));
            }
            Some(Note::Low { slot, low }) => lows.push((slot, low)),
            Some(Note::Commit { .. } | Note::Seen { .. } | Note::Tried) => {}
            None => {
                tracing::warn!(log.note = %name.escape_ascii(), "the log holds a note that this version does not know");
            }
        }
    }
    for (slot, low) in lows {
        // Where what it let go was the last that is known, what comes next must not lie below it.
        log.reach(slot, low);
        log.set_low(slot, low);
    }
    shared.read_commits(&log);
    reach_what_was_committed(shared, &mut log);
    for topic in shared.topics.read().values() {
        for partition in topic.partitions() {
            if topic.is_compacted() {
                log.set_compacted(partition.slot);
            }
            let low = log.range(partition.slot).start;
            // Not the next offset: of offsets lost at the end nothing would ever come, and who reads up to them would wait.
            let end = log.readable_end(partition.slot);
            let mut state = partition.lock();
            (state.low, state.visible) = (low, low.max(end));
        }
    }
    Ok(())
}

/// Where the last records of a partition are lost with all that names them, a group may have committed beyond its end. Their
/// offsets are not given again: what comes next would lie behind what the group is to read, and be passed over.
fn reach_what_was_committed(shared: &Shared, log: &mut Log<Disk>) {
    for ((group, slot), next) in &*shared.committed.lock() {
        let end = log.range(*slot).end;
        if *next > end {
            log.reach(*slot, *next);
            tracing::warn!(
                messaging.group = group,
                log.slot = slot,
                log.committed = next,
                log.end = end,
                "a group has committed beyond the end of a partition, whose last records are lost; their offsets stay empty"
            );
        }
    }
}

/// Tells what opening found; one line each.
pub(super) fn tell(folder: &str, opened: &Opened, shared: &Shared) {
    if let Some(cut) = &opened.cut {
        tracing::warn!(
            log.folder = folder,
            log.cut_bytes = cut.bytes,
            log.segment = cut.segment,
            log.position = cut.at,
            "the end of the log was torn and is cut off; nothing of it was acknowledged as on disk"
        );
    }
    for misnamed in &opened.misnamed {
        let segment = segment_name(misnamed.segment);
        match &misnamed.aside {
            None => tracing::error!(
                log.folder = folder,
                log.file = misnamed.found,
                log.segment = segment,
                "a segment lay under another one's name, and has its own again"
            ),
            Some(aside) => tracing::error!(
                log.folder = folder,
                log.file = misnamed.found,
                log.segment = segment,
                log.aside = aside,
                "a segment lay under another one's name, and its own is taken: it is set aside; if it is the right one, stop Relay \
                 and give it its name, else remove it"
            ),
        }
    }
    if let Some(first) = opened.damaged.first() {
        tracing::error!(
            log.folder = folder,
            log.damaged = opened.damaged.len(),
            log.segment = first.segment,
            log.position = first.position,
            log.what = first.what,
            "the log is damaged; what is whole is read on, and `relay log verify` lists all of it"
        );
    }
    let lost: u64 = opened.lost.iter().map(|lost| lost.last + 1 - lost.first).sum();
    if lost > 0 {
        shared.losses.lost(lost);
        tracing::error!(
            log.folder = folder,
            log.lost_entries = lost,
            "the disk lost entries of the log that an earlier process had written"
        );
    }
}
