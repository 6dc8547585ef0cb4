//! Writers' schemas on the bus (`relay.schemas.v1`), so that two versions of a service can read each other.

use relay_schemas::{Codec, DecodeError, Registry, SchemaBody, encode, hex};

use crate::topics::SCHEMAS;
use crate::{Bus, BusError, Headers, Outgoing, Partition, Record, StartAt};

/// Publishes every schema of this build that is not yet there.
pub async fn announce_schemas(bus: &dyn Bus) -> Result<usize, BusError> {
    let known = Registry::default();
    let present = present(bus, &known).await?;
    let missing: Vec<Outgoing> = relay_schemas::all()
        .into_iter()
        .filter(|(_, codec)| !present.contains(&hex(codec.fingerprint())))
        .map(|(_, codec)| record_of(codec))
        .collect();
    let announced = missing.len();
    if announced > 0 {
        bus.publish(missing, Vec::new()).await?;
    }
    Ok(announced)
}

/// Reads every schema that was ever announced into `registry`; returns how many records it read.
pub async fn refresh_schemas(bus: &dyn Bus, registry: &Registry) -> Result<usize, BusError> {
    present(bus, registry).await.map(|present| present.len())
}

fn record_of(codec: &Codec) -> Outgoing {
    let fingerprint = hex(codec.fingerprint());
    let body = SchemaBody {
        fingerprint: fingerprint.clone(),
        schema: codec.json().to_owned(),
    };
    let value = encode(&body);
    let mut headers = Headers::default();
    crate::checksum::stamp(&mut headers, &value);
    Outgoing::keyed(SCHEMAS, fingerprint, headers, value)
}

/// Learns what the topic holds now, up to where it ends now.
async fn present(bus: &dyn Bus, registry: &Registry) -> Result<Vec<String>, BusError> {
    let mut fingerprints = Vec::new();
    for number in 0..bus.partitions(SCHEMAS).await? {
        let partition = Partition::new(SCHEMAS, number);
        let range = bus.range(&partition).await?;
        if range.low >= range.high {
            continue;
        }
        let mut reader = bus.read(vec![(partition, StartAt::Start)]).await?;
        let mut next = range.low;
        while next < range.high {
            for record in reader.next().await? {
                next = record.position.offset + 1;
                fingerprints.extend(learn(registry, &record));
            }
        }
    }
    Ok(fingerprints)
}

fn learn(registry: &Registry, record: &Record) -> Option<String> {
    let body: Result<SchemaBody, DecodeError> = crate::decode(registry, record);
    match body {
        Ok(body) => registry.learn(&body.schema).then_some(body.fingerprint),
        Err(error) => {
            tracing::warn!(
                messaging.topic = SCHEMAS,
                messaging.offset = record.position.offset,
                %error,
                "a record of the schema topic is no schema and is passed over"
            );
            None
        }
    }
}
