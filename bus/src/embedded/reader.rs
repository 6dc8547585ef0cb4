//! A reader outside any group.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::cursor::{Cursor, Cursors};
use super::shared::Shared;
use crate::{BusError, Partition, Reader, Record, StartAt};

pub(super) struct LogReader {
    shared: Arc<Shared>,
    cursors: Cursors,
    notify: Arc<Notify>,
}

impl LogReader {
    pub(super) fn open(shared: &Arc<Shared>, from: Vec<(Partition, StartAt)>) -> Result<Self, BusError> {
        let notify = Arc::new(Notify::new());
        let mut cursors = Cursors::default();
        for (partition, start) in from {
            cursors.list.push(start_at(shared, &partition, start, &notify)?);
        }
        Ok(Self {
            shared: Arc::clone(shared),
            cursors,
            notify,
        })
    }
}

fn start_at(
    shared: &Shared,
    partition: &Partition,
    start: StartAt,
    notify: &Arc<Notify>,
) -> Result<Cursor, BusError> {
    let log = shared.partition(partition)?;
    let (low, visible) = {
        let state = log.lock();
        (state.low, state.visible)
    };
    let (next, not_before) = match start {
        StartAt::Start => (low, None),
        StartAt::End => (visible, None),
        StartAt::Offset(offset) => (offset.max(low), None),
        StartAt::Time(instant) => {
            let held = shared.log.lock();
            let first = held.spans(log.slot).find(|span| span.newest_ms >= instant.0);
            let first = first.map_or(visible, |span| span.first);
            (first.max(low), Some(instant.0))
        }
    };
    let mut cursor = Cursor::new(log, next, notify);
    cursor.not_before = not_before;
    Ok(cursor)
}

#[async_trait]
impl Reader for LogReader {
    async fn next(&mut self) -> Result<Vec<Record>, BusError> {
        loop {
            self.shared.health.open()?;
            let records = self.cursors.read(&self.shared)?;
            if !records.is_empty() {
                return Ok(records);
            }
            self.notify.notified().await;
        }
    }
}
