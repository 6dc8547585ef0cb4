//! Writers' schemas on the bus (`relay.schemas.v1`), so that two versions of a service can read each other.

use std::convert::Infallible;
use std::time::Duration;

use relay_bus::topics::SCHEMAS;
use relay_bus::{Bus, BusError, Headers, Outgoing, Partition, Record, StartAt};
use relay_schemas::{Codec, DecodeError, Registry, SchemaBody, encode, hex};

use crate::stretch::Stretch;

/// The topic is small and compacted: whoever cannot read it by then has lost the bus.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// Publishes every schema of this build that is not yet there; returns how many.
pub async fn announce_schemas(bus: &dyn Bus) -> Result<usize, BusError> {
    let there = Registry::default();
    refresh_schemas(bus, &there).await?;
    let missing: Vec<Outgoing> = relay_schemas::all()
        .into_iter()
        .filter(|(_, codec)| !there.knows(codec.fingerprint()))
        .map(|(_, codec)| record_of(codec))
        .collect();
    let announced = missing.len();
    if announced > 0 {
        bus.publish(missing, Vec::new()).await?;
    }
    Ok(announced)
}

/// Reads every schema announced until now into `registry`.
pub async fn refresh_schemas(bus: &dyn Bus, registry: &Registry) -> Result<(), BusError> {
    let read = async {
        for number in 0..bus.partitions(SCHEMAS).await? {
            let mut announced = Stretch::whole(bus, Partition::new(SCHEMAS, number)).await?;
            while let Some(record) = announced.next().await? {
                learn(registry, &record);
            }
        }
        Ok(())
    };
    tokio::time::timeout(READ_WITHIN, read).await.unwrap_or_else(|_| {
        Err(BusError::Unavailable(format!(
            "{SCHEMAS} could not be read in time"
        )))
    })
}

/// Decodes `by`; where the writer's schema is unknown, has the schemas read anew by `refresh`, and decodes once more.
///
/// # Errors
/// If that failed. What cannot be decoded all the same is an answer.
pub async fn decode_known<T, E, F: Future<Output = Result<(), E>>>(
    by: impl Fn() -> Result<T, DecodeError>,
    refresh: impl FnOnce() -> F,
) -> Result<Result<T, DecodeError>, E> {
    let decoded = by();
    if !matches!(decoded, Err(DecodeError::UnknownSchema(_))) {
        return Ok(decoded);
    }
    refresh().await?;
    Ok(by())
}

/// Learns every schema announced, now and later; ends only with an error. The control seam knows no topic to look an unknown
/// schema up in, so whoever listens there must have heard of it before.
pub async fn follow_schemas(bus: &dyn Bus, registry: &Registry) -> Result<Infallible, BusError> {
    let numbers = 0..bus.partitions(SCHEMAS).await?;
    let from = numbers.map(|number| (Partition::new(SCHEMAS, number), StartAt::Start));
    let mut reader = bus.read(from.collect()).await?;
    loop {
        for record in reader.next().await? {
            learn(registry, &record);
        }
    }
}

fn learn(registry: &Registry, record: &Record) {
    let body: Result<SchemaBody, DecodeError> = relay_bus::decode(registry, record);
    let learned = body.is_ok_and(|body| registry.learn(&body.schema));
    if !learned {
        tracing::warn!(
            messaging.topic = SCHEMAS,
            messaging.offset = record.position.offset,
            "a record of the schema topic is no schema and is passed over"
        );
    }
}

fn record_of(codec: &Codec) -> Outgoing {
    let fingerprint = hex(codec.fingerprint());
    let body = SchemaBody {
        fingerprint: fingerprint.clone(),
        schema: codec.json().to_owned(),
    };
    Outgoing::keyed(SCHEMAS, fingerprint, Headers::default(), encode(&body))
}
