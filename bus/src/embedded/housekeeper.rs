//! Housekeeping beside the flow: retention, forgotten groups, closing quiet segments, cleaning. Each round's work is bounded;
//! the next goes on.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use relay_clock::{Grace, millis};
use relay_log::{AppendError, Span};
use tokio::sync::oneshot;

use super::health::Trouble;
use super::names::Names;
use super::notes::{self, Note};
use super::partition::PartitionLog;
use super::presence::{Presence, Reading};
use super::retain::{self, Keep};
use super::shared::Shared;
use super::slot::{Slot, topic_of};
use super::syncer::SyncQueue;
use crate::Room;

/// Pause between two rounds while the log takes nothing.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Most segments cleaned in a round; where there are more the next round comes at once.
const MOST_CLEANED: usize = 16;

pub(super) struct Housekeeper {
    shared: Arc<Shared>,
    syncer: SyncQueue,
    grace: Grace,
    presence: Presence,
    /// Whether the last step of cleaning failed, which is told once.
    cleaning_failed: bool,
    /// Whether there was more to clean than one round does.
    behind: bool,
    names: Names,
}

impl Housekeeper {
    pub(super) fn new(shared: Arc<Shared>, syncer: SyncQueue) -> Self {
        let grace = Grace::new(shared.options.retention_grace, shared.clock.clone());
        warn_of_strange_start(&shared);
        let presence = {
            let log = shared.log.lock();
            let seen = log
                .notes()
                .iter()
                .filter_map(|(name, value)| match notes::parse(name, value) {
                    Some(Note::Seen { group, topic, at_ms }) => Some(((group, topic), at_ms)),
                    _ => None,
                });
            Presence::new(seen)
        };
        Self {
            shared,
            syncer,
            grace,
            presence,
            cleaning_failed: false,
            behind: false,
            names: Names::default(),
        }
    }

    /// Runs until `stop` is dropped.
    pub(super) async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        loop {
            let interval = self.shared.options.tidy_interval.max(Duration::from_millis(1));
            let pause = if self.shared.health.is_troubled() {
                interval.min(TRY_AGAIN)
            } else if self.behind {
                Duration::ZERO
            } else {
                interval
            };
            tokio::select! {
                biased;
                _ = &mut stop => return,
                () = tokio::time::sleep(pause) => {}
            }
            if let Err(error) = self.round().await
                && let Some(trouble) = Trouble::of(&error)
            {
                self.shared.health.fails(trouble);
            }
        }
    }

    async fn round(&mut self) -> Result<(), AppendError> {
        self.shared.tail.age(self.shared.options.tail_age);
        let tended = self.tend().await;
        // Whatever failed before: this alone gives a full disk room again.
        self.clean().await;
        tended
    }

    async fn tend(&mut self) -> Result<(), AppendError> {
        if self.shared.health.is_troubled() {
            self.syncer.flush().await;
            self.shared.note(vec![(notes::tried(), Some(notes::number(0)))])?;
            self.shared.health.works();
        }
        self.look_at_the_clock();
        self.look_at_groups()?;
        self.let_go()?;
        self.names.look(&self.shared, &self.syncer).await;
        self.shared.log.lock().roll_if_old(self.now())?;
        let behind = {
            let log = self.shared.log.lock();
            log.last() > log.synced()
        };
        if behind {
            self.syncer.flush().await;
        }
        let marked = self.shared.log.lock().mark(self.now())?;
        if marked {
            // Only what is proven lets anything go.
            self.syncer.flush().await;
        }
        Ok(())
    }

    fn now(&self) -> i64 {
        self.shared.clock.now().0
    }

    fn look_at_the_clock(&mut self) {
        if let Some(jumped) = self.grace.look() {
            tracing::warn!(
                clock.jumped_ms = jumped,
                grace_ms = millis(self.shared.options.retention_grace),
                "the clock was set; the log lets nothing go until the grace is over"
            );
        }
    }

    /// Retention: moves the lowest offsets up. What made it right is on disk before anything goes.
    fn let_go(&self) -> Result<(), AppendError> {
        let now = self.now();
        let short = self.shared.room() != Room::Enough;
        if self.grace.lasts() && !short {
            return Ok(());
        }
        let unread = self.unread();
        let (mut lows, mut notes, mut unread_dropped) = (Vec::new(), Vec::new(), Vec::new());
        let topics: Vec<_> = self.shared.topics.read().values().cloned().collect();
        for topic in topics.iter().filter(|topic| !topic.is_compacted()) {
            let settings = topic.settings();
            let mut dropped = 0;
            for partition in topic.partitions() {
                let keep = Keep {
                    age_ms: settings.retention.filter(|_| !self.grace.lasts()).map(millis),
                    bytes: settings.retention_size.map(relay_settings::ByteSize::as_u64),
                    unread_from: unread.get(&partition.slot).copied(),
                };
                if let Some(gone) = retain::let_go(&self.spans(&partition), keep, now) {
                    dropped += gone.unread;
                    notes.push((notes::low(partition.slot), Some(notes::number(gone.low))));
                    lows.push((partition, gone.low));
                }
            }
            unread_dropped.extend((dropped > 0).then_some((settings.name, dropped)));
        }
        if lows.is_empty() {
            return Ok(());
        }
        self.shared.note(notes)?;
        for (topic, dropped) in unread_dropped {
            self.shared.losses.dropped(&topic, dropped);
            tracing::error!(
                messaging.topic = topic,
                log.dropped_unread = dropped,
                "`retention_size` let records go that a group had still to read"
            );
        }
        let mut log = self.shared.log.lock();
        for (partition, low) in lows {
            log.set_low(partition.slot, low);
            let mut state = partition.lock();
            state.low = state.low.max(low);
        }
        Ok(())
    }

    /// Where records of a partition lie that it still holds.
    fn spans(&self, partition: &PartitionLog) -> Vec<Span> {
        let low = partition.lock().low;
        let log = self.shared.log.lock();
        log.spans(partition.slot).filter(|span| span.end > low).collect()
    }

    /// For each partition the first offset that a group has still to read.
    fn unread(&self) -> HashMap<Slot, i64> {
        let mut unread = HashMap::new();
        let mut reads = |slot, next: i64| {
            let first = unread.entry(slot).or_insert(next);
            *first = next.min(*first);
        };
        let committed = self.shared.committed.lock().clone();
        for ((_, slot), next) in &committed {
            reads(*slot, *next);
        }
        for (group, topics) in self.shared.groups.joined() {
            for slot in topics.iter().flat_map(|topic| self.shared.slots(topic)) {
                if !committed.contains_key(&(group.clone(), slot)) {
                    reads(slot, 0);
                }
            }
        }
        unread
    }

    fn look_at_groups(&mut self) -> Result<(), AppendError> {
        let names: BTreeMap<u16, String> = {
            let topics = self.shared.topics.read();
            topics
                .iter()
                .map(|(name, topic)| (topic.id, name.clone()))
                .collect()
        };
        let committed: BTreeSet<Reading> = {
            let committed = self.shared.committed.lock();
            committed
                .keys()
                .map(|(group, slot)| (group.clone(), topic_of(*slot)))
                .collect()
        };
        let keep = millis(self.shared.options.group_retention);
        let joined = self.joined();
        let look = self
            .presence
            .look(&joined, &committed, self.now(), keep, self.grace.lasts());
        for (group, topic) in &look.absent {
            tracing::warn!(
                messaging.group = group,
                messaging.topic = names.get(topic),
                group_retention_ms = keep,
                "a group has committed here and nobody joins it; what it has not read is kept until it is forgotten"
            );
        }
        for (group, topic) in &look.forgotten {
            tracing::warn!(
                messaging.group = group,
                messaging.topic = names.get(topic),
                "an absent group is forgotten"
            );
        }
        let now = notes::number(self.now());
        let seen = look
            .seen
            .iter()
            .map(|(group, topic)| (notes::seen(group, *topic), Some(now.clone())));
        let mut changes: Vec<_> = seen.collect();
        let is_forgotten =
            |(group, slot): &(String, Slot)| look.forgotten.contains(&(group.clone(), topic_of(*slot)));
        changes.extend(
            look.forgotten
                .iter()
                .map(|(group, topic)| (notes::seen(group, *topic), None)),
        );
        let mut forgotten: Vec<(String, Slot)> = self.shared.committed.lock().keys().cloned().collect();
        forgotten.retain(&is_forgotten);
        // In the same order in each run: what is written follows from what was done.
        forgotten.sort();
        changes.extend(
            forgotten
                .iter()
                .map(|(group, slot)| (notes::commit(group, *slot), None)),
        );
        if changes.is_empty() {
            return Ok(());
        }
        self.shared.note(changes)?;
        self.shared
            .committed
            .lock()
            .retain(|commit, _| !is_forgotten(commit));
        Ok(())
    }

    fn joined(&self) -> BTreeSet<Reading> {
        // Before the topics are locked: whoever joins a group locks them the other way round.
        let groups = self.shared.groups.joined();
        let topics = self.shared.topics.read();
        let mut joined = BTreeSet::new();
        for (group, names) in groups {
            let ids = names.iter().filter_map(|name| topics.get(name));
            joined.extend(ids.map(|topic| (group.clone(), topic.id)));
        }
        joined
    }

    /// Gives back what nobody wants any more, a step at a time.
    async fn clean(&mut self) {
        self.behind = false;
        for _ in 0..MOST_CLEANED {
            let lag = millis(self.shared.options.compaction_lag);
            let plan = if self.shared.room() == Room::Enough {
                self.shared.log.lock().plan_clean(self.now(), lag)
            } else {
                // A segment that is rewritten needs room for its copy first.
                self.shared.log.lock().plan_removal()
            };
            let Some(plan) = plan else { return };
            let result = plan.run();
            let ended = self.shared.log.lock().end_clean(result, self.now());
            match ended {
                Ok(_) => self.cleaning_failed = false,
                Err(error) => {
                    if !std::mem::replace(&mut self.cleaning_failed, true) {
                        tracing::warn!(%error, "cleaning the embedded log failed; it is tried again");
                    }
                    return;
                }
            }
            self.syncer.flush().await;
        }
        self.behind = true;
    }
}

/// A clock that is far from the newest record may be wrong, and then retention would be.
fn warn_of_strange_start(shared: &Shared) {
    let newest = {
        let log = shared.log.lock();
        let newest = log
            .slots()
            .filter_map(|slot| log.spans(slot).map(|span| span.newest_ms).max());
        newest.max()
    };
    if let Some(away) = Grace::strange_start(newest, shared.clock.now()) {
        tracing::warn!(
            clock.after_newest_record_ms = away,
            grace_ms = millis(shared.options.retention_grace),
            "the clock is far from the newest record of the log; nothing is let go until the grace is over: set the clock right before if it is wrong"
        );
    }
}
