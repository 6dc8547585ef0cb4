//! Reads records of the log into the core.

use std::sync::Arc;

use relay_bus::{BusError, Record, decode, header};
use relay_runner::{decode_known, read_outcome, refresh_schemas};
use relay_schemas::{DecodeError, Ready, Registry, Work};

use super::context::Context;
use super::garbage::{Garbage, name};
use super::records::{Conclusion, lease_of, ready_at};
use crate::core::{At, Core, Input, Offer};

/// Decodes and folds records; what cannot be read goes into `garbage`.
pub(super) struct RecordReader {
    context: Arc<Context>,
    garbage: Vec<Garbage>,
}

/// Where a record lies.
fn at(record: &Record) -> At {
    At {
        partition: record.position.partition.partition,
        offset: record.position.offset,
    }
}

impl RecordReader {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            garbage: Vec::new(),
        }
    }

    /// Whether something could not be read that was not taken yet.
    pub(super) fn has_garbage(&self) -> bool {
        !self.garbage.is_empty()
    }

    /// What is to be published for records that could not be read, once. By now `core` knows whose requests go on all the same.
    pub(super) fn take_garbage(&mut self, core: &Core) -> Vec<Conclusion> {
        let garbage = std::mem::take(&mut self.garbage).into_iter();
        garbage
            .map(|garbage| garbage.into_letter(|id| core.knows(id)))
            .collect()
    }

    /// A record of `ready`: a request is offered.
    pub(super) async fn ready(&mut self, core: &mut Core, record: &Record) -> Result<(), BusError> {
        let at = at(record);
        if !core.wants(at) {
            return Ok(());
        }
        let Some(ready) = self.read::<Ready>(record, Input::Ready).await? else {
            if core.skip(Input::Ready, at)
                && let Some(garbage) = self.garbage.last_mut()
            {
                garbage.only_buries();
            }
            return Ok(());
        };
        let now = self.context.now(core);
        let offer = Offer {
            ready,
            at,
            bytes: record.value.as_deref().map_or(0, <[u8]>::len),
            queued_at: record.timestamp,
            trace: record.headers.text(header::TRACEPARENT).map(Arc::from),
        };
        core.offer(offer, now);
        Ok(())
    }

    /// A record of a work topic: our own comes back, or a predecessor's becomes known.
    pub(super) async fn work(&mut self, core: &mut Core, record: &Record) -> Result<(), BusError> {
        let pool = &self.context.pool;
        let long = record.position.partition.topic == Input::WorkLong.topic(pool);
        let input = if long { Input::WorkLong } else { Input::WorkShort };
        let at = at(record);
        if let Some((id, attempt, epoch)) = lease_of(record)
            && core.work_read_back(&id, attempt, epoch, input, at)
        {
            return Ok(());
        }
        let Some(work) = self.read::<Work>(record, input).await? else {
            core.skip(input, at);
            return Ok(());
        };
        let now = self.context.now(core);
        core.work(work, input, at, ready_at(record), now);
        Ok(())
    }

    /// A record of `outcomes`: a request has ended.
    pub(super) async fn outcome(&mut self, core: &mut Core, record: &Record) -> Result<(), BusError> {
        let at = at(record);
        if at.offset < core.offsets().next(Input::Outcomes, at.partition) {
            // It lay before the snapshot; a predecessor has dealt with what cannot be read there.
            if let Ok(outcome) = read_outcome(&self.context.runtime.schemas, record) {
                core.outcome(&outcome, at);
            }
            return Ok(());
        }
        match self.read_by(record, Input::Outcomes, read_outcome).await? {
            Some(outcome) => {
                core.outcome(&outcome, at);
            }
            None => {
                core.skip(Input::Outcomes, at);
            }
        }
        Ok(())
    }

    /// The record's value; `None` for what cannot be read, which is then on its way to the dead letters.
    async fn read<T: relay_schemas::Record>(
        &mut self,
        record: &Record,
        input: Input,
    ) -> Result<Option<T>, BusError> {
        self.read_by(record, input, decode).await
    }

    async fn read_by<T>(
        &mut self,
        record: &Record,
        input: Input,
        by: impl Fn(&Registry, &Record) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, BusError> {
        let reason = match self.decode(record, by).await? {
            Ok(decoded) => return Ok(Some(decoded)),
            Err(error) => error.to_string(),
        };
        self.garbage
            .push(Garbage::new(&self.context, record, &reason, name(input)));
        Ok(None)
    }

    /// Decodes; reads the schema topic once where the writer's schema is unknown.
    async fn decode<T>(
        &self,
        record: &Record,
        by: impl Fn(&Registry, &Record) -> Result<T, DecodeError>,
    ) -> Result<Result<T, DecodeError>, BusError> {
        let runtime = &self.context.runtime;
        let refresh = || refresh_schemas(&*runtime.bus, &runtime.schemas);
        decode_known(|| by(&runtime.schemas, record), || self.context.log.ask(refresh)).await
    }
}
