//! Records of the log, decoded and folded into the core.

use std::sync::Arc;

use relay_bus::{BusError, Record, decode, header, stamp};
use relay_runner::{poisoned, refresh_schemas};
use relay_schemas::{DecodeError, Outcome, Ready, TimestampMs, Work};

use crate::core::{At, Core, Input, Offer};
use crate::feed::insist;
use crate::pool::Shared;
use crate::publisher::{EPOCH, Ending, READY_AT};

/// Folds records; what cannot be read goes into `garbage`.
pub(crate) struct Folder {
    shared: Arc<Shared>,
    /// What is to be published for records that could not be read.
    pub(crate) garbage: Vec<Ending>,
}

/// Where a record lies.
pub(crate) fn at(record: &Record) -> At {
    At {
        partition: record.position.partition.partition,
        offset: record.position.offset,
    }
}

impl Folder {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            garbage: Vec::new(),
        }
    }

    /// A record of `ready`: a request is offered.
    pub(crate) async fn ready(&mut self, core: &mut Core, record: &Record) -> Result<(), BusError> {
        let at = at(record);
        if !core.wants(at) {
            return Ok(());
        }
        let Some(ready) = self.read::<Ready>(record, Input::Ready).await? else {
            core.skip(Input::Ready, at);
            return Ok(());
        };
        let now = TimestampMs::now();
        let offer = Offer {
            ready,
            at,
            bytes: record.value.as_ref().map_or(0, bytes::Bytes::len),
            queued_at: record.timestamp.min(now),
            trace: record.headers.text(header::TRACEPARENT).map(Arc::from),
        };
        core.offer(offer, now);
        Ok(())
    }

    /// A record of a work topic: our own comes back, or a predecessor's becomes known.
    pub(crate) async fn work(&mut self, core: &mut Core, record: &Record) -> Result<(), BusError> {
        let pool = &self.shared.pool;
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
        core.work(work, input, at, ready_at(record), TimestampMs::now());
        Ok(())
    }

    /// A record of `outcomes`: a request has ended.
    pub(crate) async fn outcome(&mut self, core: &mut Core, record: &Record) -> Result<(), BusError> {
        let at = at(record);
        if at.offset < core.offsets().next(Input::Outcomes, at.partition) {
            // It lay before the snapshot; a predecessor has dealt with what cannot be read there.
            if let Ok(outcome) = decode::<Outcome>(&self.shared.runtime.schemas, record) {
                core.outcome(&outcome, at);
            }
            return Ok(());
        }
        match self.read::<Outcome>(record, Input::Outcomes).await? {
            Some(outcome) => {
                core.outcome(&outcome, at);
            }
            None => core.skip(Input::Outcomes, at),
        }
        Ok(())
    }

    /// The record's value; `None` for what cannot be read, which is then on its way to the dead letters.
    async fn read<T: relay_schemas::Record>(
        &mut self,
        record: &Record,
        input: Input,
    ) -> Result<Option<T>, BusError> {
        let reason = match self.decode(record).await? {
            Ok(decoded) => return Ok(Some(decoded)),
            Err(error) => error.to_string(),
        };
        self.garbage
            .push(give_up(&self.shared, record, &reason, name(input)));
        Ok(None)
    }

    /// Decodes; reads the schema topic once where the writer's schema is unknown.
    async fn decode<T: relay_schemas::Record>(
        &self,
        record: &Record,
    ) -> Result<Result<T, DecodeError>, BusError> {
        let runtime = &self.shared.runtime;
        let decoded = decode::<T>(&runtime.schemas, record);
        if !matches!(decoded, Err(DecodeError::UnknownSchema(_))) {
            return Ok(decoded);
        }
        let refresh = || refresh_schemas(&*runtime.bus, &runtime.schemas);
        insist(&runtime.health, &self.shared.config, refresh).await?;
        Ok(decode::<T>(&runtime.schemas, record))
    }
}

/// The dead letter of a record. With the end of its request if it lay on `ready`: elsewhere the request lives on, or has ended.
pub(crate) fn give_up(shared: &Shared, record: &Record, reason: &str, input: &'static str) -> Ending {
    tracing::warn!(
        pool = shared.pool,
        messaging.topic = record.position.partition.topic,
        messaging.partition = record.position.partition.partition,
        messaging.offset = record.position.offset,
        reason,
        "a record cannot be read and becomes a dead letter"
    );
    let keep = shared.config.dead_letter_bytes;
    let mut records = poisoned(
        record,
        reason,
        "relay.scheduler",
        keep,
        &shared.identity,
        shared.runtime.clock.now(),
    );
    if input != name(Input::Ready) {
        records.truncate(1);
    }
    for record in &mut records {
        if let Some(value) = &record.value {
            stamp(&mut record.headers, value);
        }
    }
    shared.metrics.lock().garbage(input);
    Ending::Garbage(records)
}

fn name(input: Input) -> &'static str {
    match input {
        Input::Ready => "ready",
        Input::WorkShort | Input::WorkLong => "work",
        Input::Outcomes => "outcomes",
    }
}

fn lease_of(record: &Record) -> Option<(relay_schemas::RequestId, u32, i64)> {
    let headers = &record.headers;
    let attempt = headers.text(header::ATTEMPT)?.parse().ok()?;
    let epoch = headers.text(EPOCH)?.parse().ok()?;
    Some((headers.request_id()?, attempt, epoch))
}

fn ready_at(record: &Record) -> Option<At> {
    let (partition, offset) = record.headers.text(READY_AT)?.split_once(':')?;
    Some(At {
        partition: partition.parse().ok()?,
        offset: offset.parse().ok()?,
    })
}
