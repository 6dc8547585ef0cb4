//! Reads from the log how requests end. The first outcome of a request in the log is its winner, and no frame can tell that
//! it was the first: so every ingress reads on in all of `relay.outcomes.v1`, and decodes what somebody here waits for.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use relay_bus::{BusError, Partition, Record, StartAt, decode, topics};
use relay_schemas::{Outcome, TimestampMs};

use crate::gateway::Gateway;

const AGAIN: Duration = Duration::from_millis(500);

/// The next offset to read, by partition.
type Places = BTreeMap<Partition, i64>;

/// Reads on from where the outcomes end when it is called, whatever interrupts it. Never returns; dropped at the end.
pub async fn follow(gateway: Arc<Gateway>) {
    let mut places = Places::new();
    loop {
        let Err(error) = read(&gateway, &mut places).await;
        gateway.set_following(false, &error.to_string());
        tokio::time::sleep(AGAIN).await;
    }
}

async fn read(gateway: &Gateway, places: &mut Places) -> Result<Infallible, BusError> {
    if places.is_empty() {
        *places = ends(gateway).await?;
    }
    let from = places
        .iter()
        .map(|(partition, next)| (partition.clone(), StartAt::Offset(*next)));
    let mut outcomes = gateway.runtime.bus.read(from.collect()).await?;
    loop {
        gateway.set_following(true, "");
        let records = match outcomes.next().await {
            // The reader finds back by itself.
            Err(BusError::Unavailable(reason)) => {
                wait(gateway, &reason).await;
                continue;
            }
            records => records?,
        };
        for record in records {
            if let Some(next) = places.get_mut(&record.position.partition) {
                *next = record.position.offset + 1;
            }
            on_record(gateway, &record);
        }
    }
}

/// Until the log answers again.
async fn wait(gateway: &Gateway, reason: &str) {
    gateway.set_following(false, reason);
    loop {
        tokio::time::sleep(AGAIN).await;
        if gateway.runtime.bus.probe().await.is_ok() {
            return;
        }
    }
}

async fn ends(gateway: &Gateway) -> Result<Places, BusError> {
    let bus = &gateway.runtime.bus;
    let mut places = Places::new();
    for partition in 0..bus.partitions(topics::OUTCOMES).await? {
        let partition = Partition::new(topics::OUTCOMES, partition);
        let end = bus.range(&partition).await?.high;
        places.insert(partition, end);
    }
    Ok(places)
}

fn on_record(gateway: &Gateway, record: &Record) {
    let Some(request) = record.headers.request_id() else {
        return;
    };
    let slots = gateway.routes.slots(&request);
    if slots.is_empty() {
        return;
    }
    // What cannot be read is no outcome, for nobody; but then the sink may have read it in a schema not known here yet.
    let outcome = decode::<Outcome>(&gateway.runtime.schemas, record)
        .inspect_err(|error| tracing::warn!(request.id = %request, %error, "an unreadable outcome"))
        .ok()
        .filter(|outcome| outcome.request_id == request);
    for slot in slots {
        slot.on_outcome(outcome.as_ref(), TimestampMs::now());
    }
}
