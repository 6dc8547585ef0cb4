//! One measured run. At a rate, records are due at fixed instants, whatever the bus does (open loop), and latency counts from when a
//! record was due, so that a stall is not hidden. Flat out, a new one is sent for each that came out, and latency counts from then.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::{BufMut, Bytes, BytesMut};
use relay_bus::{Bus, Headers, Outgoing};
use tokio::task::JoinSet;

use super::chain::Chain;
use super::column::{Column, Ready};
use super::figures::{Figures, Spent};
use super::{Pace, Scenario};
use crate::pace::paced;
use crate::quantiles;

/// Not measured, before each run: its topics are new, so are their caches, connections and first memtables.
const SETTLING: Duration = Duration::from_secs(2);
/// How often the warm-up says how far it has come.
const WINDOW: Duration = Duration::from_secs(10);
/// What is left of the warm-up is not worth a window of its own when it is shorter.
const SHORTEST: Duration = Duration::from_millis(500);
/// Records under way, flat out: as many as a busy gateway has, few enough that none waits for memory.
const WINDOW_FLAT_OUT: usize = 256;
/// What has not come out by then is lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs `scenario` once for `seconds`.
pub async fn run(column: &Column, scenario: Scenario, seconds: u64) -> Result<Figures> {
    let unopened = Spent::now(&column.meter())?;
    let mut line = Line::open(column, scenario).await?;
    line.pass(SETTLING).await?;
    let before = Spent::now(&column.meter())?;
    let latencies = line.pass(Duration::from_secs(seconds)).await?;
    let figures = Figures::of(latencies, unopened, before, Spent::now(&column.meter())?);
    line.close().await?;
    Ok(figures)
}

/// Works on a bus for `lasting` and tells of each window, so that whoever reads the figures sees whether it had settled. A broker's
/// first minute is slow: its code is not compiled yet.
pub async fn warm_up(column: &Column, lasting: Duration) -> Result<()> {
    if lasting.is_zero() {
        return Ok(());
    }
    let mut line = Line::open(column, Scenario::WARM_UP).await?;
    let (begin, name) = (Instant::now(), Scenario::WARM_UP.name());
    loop {
        let left = lasting.saturating_sub(begin.elapsed());
        if left < SHORTEST {
            break;
        }
        let latencies = line.pass(left.min(WINDOW)).await?;
        let [p50, p99] = quantiles::of(latencies, [0.5, 0.99]);
        eprintln!(
            "warm-up on {}, {name}, up to {:.0} of {:.0} s: p50 {p50:.2}, p99 {p99:.2} ms",
            column.name(),
            begin.elapsed().as_secs_f64(),
            lasting.as_secs_f64(),
        );
    }
    line.close().await
}

/// A bus, its stages, and what goes through them.
struct Line {
    ready: Ready,
    chain: Chain,
    filler: Bytes,
    pace: Pace,
}

impl Line {
    async fn open(column: &Column, scenario: Scenario) -> Result<Self> {
        let ready = column.open().await?;
        Ok(Self {
            chain: Chain::start(&ready, scenario.by_reference).await?,
            ready,
            filler: filler(scenario.bytes),
            pace: scenario.pace,
        })
    }

    /// Sends for `lasting` and waits until all has come out; its latencies in milliseconds.
    async fn pass(&mut self, lasting: Duration) -> Result<Vec<f64>> {
        match self.pace {
            Pace::PerSecond(rate) => self.open_loop(rate, lasting).await,
            Pace::FlatOut => self.closed_loop(lasting).await,
        }
    }

    async fn open_loop(&mut self, rate: u32, lasting: Duration) -> Result<Vec<f64>> {
        let gap = Duration::from_secs(1) / rate;
        let count = (lasting.as_secs_f64() * f64::from(rate)).ceil() as usize;
        let start = Instant::now();
        let sending = send(
            &self.ready.bus,
            &self.ready.topics[0],
            &self.filler,
            (start, gap, count),
        );
        let (sent, latencies) = tokio::join!(sending, receive(&mut self.chain, count, start));
        sent?;
        latencies
    }

    async fn closed_loop(&mut self, lasting: Duration) -> Result<Vec<f64>> {
        let start = Instant::now();
        let (mut number, mut latencies) = (0, Vec::new());
        let mut publishing = JoinSet::new();
        loop {
            while number - latencies.len() < WINDOW_FLAT_OUT && start.elapsed() < lasting {
                let record = record(&self.ready.topics[0], number, start.elapsed(), &self.filler);
                let bus = Arc::clone(&self.ready.bus);
                publishing.spawn(async move { bus.publish(vec![record], Vec::new()).await });
                number += 1;
            }
            if number == latencies.len() {
                break;
            }
            latencies.push(next_out(&mut self.chain, start).await?);
            while let Ok(due) = self.chain.out.try_recv() {
                latencies.push(since(start, due));
            }
            while let Some(done) = publishing.try_join_next() {
                done??;
            }
        }
        while let Some(done) = publishing.join_next().await {
            done??;
        }
        Ok(latencies)
    }

    async fn close(self) -> Result<()> {
        self.chain.stop().await?;
        self.ready.close()
    }
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
        let latency = next_out(chain, start).await;
        latencies.push(latency.with_context(|| format!("{} of {count} came out", latencies.len()))?);
    }
    Ok(latencies)
}

async fn next_out(chain: &mut Chain, start: Instant) -> Result<f64> {
    let due = tokio::time::timeout(PATIENCE, chain.out.recv()).await;
    let due = due.context("nothing comes out any more")?;
    Ok(since(start, due.context("the chain ended")?))
}

/// Milliseconds since a record was `due`, nanoseconds after `start`.
fn since(start: Instant, due: u64) -> f64 {
    let waited = start.elapsed().saturating_sub(Duration::from_nanos(due));
    waited.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_pass_gets_its_own_records_back_and_its_own_latencies() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let column = Column::Embedded(folder.path().to_owned());
        let mut line = Line::open(&column, Scenario::WARM_UP).await?;
        for _ in 0..2 {
            let latencies = line.pass(Duration::from_millis(100)).await?;
            assert_eq!(latencies.len(), 100);
            assert!(latencies.iter().all(|ms| (0.001..30_000.0).contains(ms)));
        }
        line.close().await?;
        let flat_out = Scenario {
            pace: Pace::FlatOut,
            ..Scenario::WARM_UP
        };
        let mut line = Line::open(&column, flat_out).await?;
        let latencies = line.pass(Duration::from_millis(50)).await?;
        assert!(latencies.len() >= WINDOW_FLAT_OUT, "{}", latencies.len());
        line.close().await?;
        assert_eq!(
            std::fs::read_dir(folder.path())?.count(),
            0,
            "nothing is left behind"
        );
        Ok(())
    }
}
