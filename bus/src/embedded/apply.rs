//! Making the topics what the manifest says. What does not change is not written, so that a log on a full disk opens.

use std::sync::Arc;

use super::notes;
use super::shared::Shared;
use super::topic::{self, TopicLog};
use crate::BusError;
use crate::topics::{Manifest, Topic};

/// A topic that is made or changes.
struct Change {
    id: u16,
    settings: Topic,
}

/// Makes and changes topics; never deletes one. One line a topic.
pub(super) fn apply(shared: &Shared, manifest: &Manifest) -> Result<Vec<String>, BusError> {
    let mut topics = shared.topics.write();
    let mut free_id = topics.values().map(|topic| topic.id + 1).max().unwrap_or(0);
    let (mut lines, mut changes) = (Vec::new(), Vec::new());
    for wanted in manifest.expanded() {
        let line = if let Some(topic) = topics.get(&wanted.name) {
            let (settings, line) = topic.becomes(&wanted);
            let id = topic.id;
            changes.extend(settings.map(|settings| Change { id, settings }));
            line
        } else {
            let line = format!("{}: created, {} partitions", wanted.name, wanted.partitions);
            changes.push(Change {
                id: free_id,
                settings: wanted,
            });
            free_id += 1;
            line
        };
        lines.push(line);
    }
    if changes.is_empty() {
        return Ok(lines);
    }
    let notes = changes.iter().map(|Change { id, settings }| {
        let note = topic::encode(*id, settings)?;
        Ok((notes::topic(&settings.name), Some(note)))
    });
    let notes = notes.collect::<Result<_, BusError>>()?;
    shared
        .note(notes)
        .map_err(|error| shared.health.refusal(&error))?;
    for Change { id, settings } in changes {
        let compacted = settings.compacted;
        let name = settings.name.clone();
        let topic = topics.entry(name).or_insert_with(|| {
            let topic = TopicLog::new(id, settings.clone(), &shared.tail);
            Arc::new(topic)
        });
        topic.become_so(settings, &shared.tail);
        if compacted {
            let mut log = shared.log.lock();
            for partition in topic.partitions() {
                log.set_compacted(partition.slot);
            }
        }
    }
    drop(topics);
    shared.groups.rebalance_all(&|topic| shared.slots(topic));
    Ok(lines)
}
