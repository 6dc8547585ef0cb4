//! A member of a consumer group.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::assign::MemberId;
use super::cursor::{Cursor, Cursors};
use super::group::{Change, Group};
use super::publish::publish;
use super::shared::Shared;
use super::slot::Slot;
use super::writer::Appender;
use crate::{BusError, Commit, Consumer, ConsumerEvent, Partition};

pub(super) struct Member {
    shared: Arc<Shared>,
    appender: Arc<Appender>,
    name: String,
    group: Arc<Group>,
    id: MemberId,
    /// The group's change counter when nothing was left to do.
    settled: Option<u64>,
    cursors: Cursors,
    notify: Arc<Notify>,
}

impl Member {
    pub(super) fn join(appender: &Arc<Appender>, name: &str, topics: &[String]) -> Result<Self, BusError> {
        let shared = &appender.shared;
        for topic in topics {
            shared.topic(topic)?;
        }
        let group = shared.groups.get(name);
        let notify = Arc::new(Notify::new());
        let id = group.join(topics, &notify, &|topic| shared.slots(topic));
        Ok(Self {
            shared: Arc::clone(shared),
            appender: Arc::clone(appender),
            name: name.to_owned(),
            group,
            id,
            settled: None,
            cursors: Cursors::default(),
            notify,
        })
    }

    fn change(&mut self) -> Option<ConsumerEvent> {
        let changes = self.group.changes();
        if self.settled == Some(changes) {
            return None;
        }
        match self.group.step(self.id) {
            Change::None => {
                self.settled = Some(changes);
                None
            }
            Change::Revoked(slots) => {
                let gone = |cursor: &Cursor| slots.contains(&cursor.log.slot);
                let (revoked, kept) = std::mem::take(&mut self.cursors.list).into_iter().partition(gone);
                self.cursors.list = kept;
                let revoked: Vec<Cursor> = revoked;
                Some(ConsumerEvent::Revoked(names(&revoked)))
            }
            Change::Assigned(slots) => {
                let taken: Vec<Cursor> = slots.iter().filter_map(|slot| self.cursor(*slot)).collect();
                let event = ConsumerEvent::Assigned(names(&taken));
                self.cursors.list.extend(taken);
                Some(event)
            }
        }
    }

    fn cursor(&self, slot: Slot) -> Option<Cursor> {
        let log = self
            .shared
            .partitions()
            .into_iter()
            .find(|log| log.slot == slot)?;
        let committed = self.shared.committed(&self.name, slot);
        let next = committed.unwrap_or_else(|| log.lock().low);
        Some(Cursor::new(log, next, &self.notify))
    }

    fn set_paused(&mut self, partitions: &[Partition], paused: bool) {
        for cursor in &mut self.cursors.list {
            if partitions.contains(&cursor.log.name) {
                cursor.paused = paused;
            }
        }
        self.notify.notify_one();
    }
}

fn names(cursors: &[Cursor]) -> Vec<Partition> {
    cursors.iter().map(|cursor| cursor.log.name.clone()).collect()
}

#[async_trait]
impl Consumer for Member {
    async fn next(&mut self) -> Result<ConsumerEvent, BusError> {
        loop {
            self.shared.health.open()?;
            if let Some(event) = self.change() {
                return Ok(event);
            }
            let records = self.cursors.read(&self.shared)?;
            if !records.is_empty() {
                return Ok(ConsumerEvent::Records(records));
            }
            self.notify.notified().await;
        }
    }

    fn places(&self) -> BTreeMap<Partition, i64> {
        let cursors = self.cursors.list.iter();
        cursors
            .map(|cursor| (cursor.log.name.clone(), cursor.next))
            .collect()
    }

    async fn pause(&mut self, partitions: &[Partition]) -> Result<(), BusError> {
        self.set_paused(partitions, true);
        Ok(())
    }

    async fn resume(&mut self, partitions: &[Partition]) -> Result<(), BusError> {
        self.set_paused(partitions, false);
        Ok(())
    }

    async fn commit(&mut self, commits: Vec<Commit>) -> Result<(), BusError> {
        publish(&self.appender, Vec::new(), commits).await.map(|_| ())
    }

    async fn leave(self: Box<Self>) -> Result<(), BusError> {
        // Dropping a member is leaving: in one process nothing can be silent for long without being gone.
        drop(self);
        Ok(())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let shared = &self.shared;
        self.group.leave(self.id, &|topic| shared.slots(topic));
    }
}
