//! One measured run: records are due at fixed instants, whatever the bus does (open loop); latency counts from when a record
//! was due, so that a stall is not hidden.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use relay_bus::{Bus, Headers, Outgoing};
use tokio::task::JoinSet;

use super::Scenario;
use super::chain::Chain;
use super::column::Column;
use super::figures::{Figures, Spent};
use crate::pace::paced;

/// Not measured: caches, connections and the first memtables.
const WARM_UP: Duration = Duration::from_secs(2);
/// What has not come out by then is lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs `scenario` once for `seconds`.
pub async fn run(column: &Column, scenario: Scenario, seconds: u64) -> Result<Figures> {
    let ready = column.open().await?;
    let mut chain = Chain::start(&ready, scenario.by_reference).await?;
    let filler = filler(scenario.bytes);
    let gap = Duration::from_secs(1) / scenario.rate;
    let warm = (WARM_UP.as_secs() * u64::from(scenario.rate)) as usize;
    let count = (seconds * u64::from(scenario.rate)) as usize;
    let start = Instant::now();
    send(&ready.bus, &ready.topics[0], &filler, (start, gap, warm)).await?;
    receive(&mut chain, warm, start).await?;

    let before = Spent::now()?;
    let start = Instant::now();
    let sending = send(&ready.bus, &ready.topics[0], &filler, (start, gap, count));
    let (sent, latencies) = tokio::join!(sending, receive(&mut chain, count, start));
    sent?;
    let figures = Figures::of(latencies?, before, Spent::now()?);
    chain.stop().await?;
    ready.close()?;
    Ok(figures)
}

/// Bytes that do not compress to nothing; from a fixed seed.
fn filler(length: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = BytesMut::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.put_u64(state);
    }
    bytes.truncate(length);
    bytes.freeze()
}

/// Publishes each record when it is due, whatever became of those before.
async fn send(
    bus: &Arc<dyn Bus>,
    topic: &str,
    filler: &Bytes,
    (start, gap, count): (Instant, Duration, usize),
) -> Result<()> {
    let mut dues = paced((0..count).map(move |number| start + gap * number as u32));
    let mut number = 0;
    let mut publishing = JoinSet::new();
    while let Some(due) = dues.recv().await {
        let record = record(topic, number, due - start, filler);
        number += 1;
        let bus = Arc::clone(bus);
        publishing.spawn(async move { bus.publish(vec![record], Vec::new()).await });
        while let Some(done) = publishing.try_join_next() {
            done??;
        }
    }
    while let Some(done) = publishing.join_next().await {
        done??;
    }
    Ok(())
}

/// A record with the headers that every record of a request carries.
fn record(topic: &str, number: usize, due: Duration, filler: &Bytes) -> Outgoing {
    let mut value = BytesMut::with_capacity(filler.len());
    value.put_u64(due.as_nanos() as u64);
    value.put_slice(&filler[8..]);
    let id = format!("0198f0c2-7d3e-7000-8000-{number:012x}");
    let mut headers = Headers::default();
    headers.set("relay-request-id", id.clone());
    headers.set("relay-tenant", "tenant-1");
    headers.set("relay-deadline", "1790000000000");
    headers.set("relay-reply-to", "relay.reply.ingress-1");
    Outgoing::keyed(topic, id, headers, value.freeze())
}

/// Latencies in milliseconds of the next `count` records to come out.
async fn receive(chain: &mut Chain, count: usize, start: Instant) -> Result<Vec<f64>> {
    let mut latencies = Vec::with_capacity(count);
    while latencies.len() < count {
        let due = tokio::time::timeout(PATIENCE, chain.out.recv()).await;
        let due = due.with_context(|| format!("{} of {count} came out, then nothing", latencies.len()))?;
        let due = Duration::from_nanos(due.context("the chain ended")?);
        latencies.push((start.elapsed().saturating_sub(due)).as_secs_f64() * 1000.0);
    }
    ensure!(latencies.len() == count, "more came out than went in");
    Ok(latencies)
}
