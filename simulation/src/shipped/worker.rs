//! A worker that the driver plays: it runs what names it, for a seeded while.

use std::collections::BTreeMap;
use std::time::Duration;

use relay_bus::{Bus, Headers, Outgoing, Partition, Record, StartAt, topics};
use relay_control::{send, subjects};
use relay_lifecycle::{Ending, Known, end};
use relay_schemas::{
    InFlight, OutcomeStatus, RequestId, Run, Service, TimestampMs, TokenCount, Usage, Work, WorkerStatus,
    decode, encode,
};

use super::stand::Handed;

/// The pool that it works for.
const POOL: &str = "default";
/// How often it tells what it holds.
const TOLD_EVERY: Duration = Duration::from_millis(100);
/// Longest run, milliseconds.
const LONGEST_MS: u32 = 400;
const SLOTS: u32 = 4;

/// Works for ever.
pub(crate) async fn run(handed: Handed) -> Result<(), relay_bus::BusError> {
    let bus = &*handed.runtime.bus;
    let mut reader = {
        let mut from = Vec::new();
        for topic in [topics::work_short(POOL), topics::work_long(POOL)] {
            let partitions = bus.partitions(&topic).await?;
            from.extend((0..partitions).map(|number| (Partition::new(&topic, number), StartAt::Start)));
        }
        bus.read(from).await?
    };
    let mut worker = Played {
        handed: &handed,
        held: BTreeMap::new(),
        seq: 0,
    };
    let mut beat = tokio::time::interval(TOLD_EVERY);
    loop {
        let next = worker.held.values().map(|(due, _)| *due).min();
        tokio::select! {
            biased;
            () = until(&handed, next) => worker.finish(bus).await?,
            _ = beat.tick() => worker.tell().await,
            records = reader.next() => worker.take(&records?),
        }
    }
}

async fn until(handed: &Handed, due: Option<TimestampMs>) {
    match due {
        Some(due) => {
            let left = due.since_ms(handed.runtime.clock.steady());
            tokio::time::sleep(Duration::from_millis(u64::try_from(left).unwrap_or(0))).await;
        }
        None => std::future::pending().await,
    }
}

struct Played<'a> {
    handed: &'a Handed,
    /// With when each ends.
    held: BTreeMap<RequestId, (TimestampMs, Work)>,
    seq: u64,
}

impl Played<'_> {
    fn take(&mut self, records: &[Record]) {
        for record in records {
            let value = record.value.as_deref().unwrap_or_default();
            let work: Work = decode(value).expect("schedulers write what can be read");
            if work.lease.worker != self.handed.identity.instance {
                continue;
            }
            let ms = self.handed.runtime.chance.draw::<u32>() % (LONGEST_MS + 1);
            let due = self.handed.runtime.clock.steady().plus_ms(ms.into());
            self.held.insert(work.request.request_id.clone(), (due, work));
        }
    }

    async fn tell(&mut self) {
        self.seq += 1;
        let shown = |(_, work): &(TimestampMs, Work)| InFlight {
            request_id: work.request.request_id.clone(),
            attempt: work.lease.attempt,
            scheduler_epoch: work.lease.scheduler_epoch,
            tokens: TokenCount(0),
        };
        let status = WorkerStatus {
            worker: self.handed.identity.instance.clone(),
            epoch: self.handed.identity.epoch,
            pool: POOL.to_owned(),
            models: vec!["model".to_owned()],
            capacity: Vec::new(),
            seq: self.seq.try_into().expect("it is small"),
            short_partitions: (0..6).collect(),
            long_partitions: (0..6).collect(),
            short_slots: SLOTS,
            long_slots: SLOTS,
            in_flight: self.held.values().map(shown).collect(),
            returned: Vec::new(),
            draining: false,
            sent_at: self.handed.runtime.clock.now(),
        };
        // It is told again.
        let _ = send(&*self.handed.control, &subjects::worker_status(POOL), status).await;
    }

    async fn finish(&mut self, bus: &dyn Bus) -> Result<(), relay_bus::BusError> {
        let now = self.handed.runtime.clock.steady();
        let over: Vec<RequestId> = (self.held.iter())
            .filter(|(_, (due, _))| *due <= now)
            .map(|(request, _)| request.clone())
            .collect();
        let mut outcomes = Vec::new();
        for request in over {
            let (_, work) = self.held.remove(&request).expect("it was held just now");
            let mut ending = Ending::of(OutcomeStatus::Completed);
            ending.usage = Usage {
                prompt_tokens: work.request.prompt_tokens,
                completion_tokens: TokenCount(3),
            };
            let identity = &self.handed.identity;
            let run = Run {
                service: Service::Workers,
                ..identity.run(work.lease.attempt)
            };
            let outcome = end(
                Known::Work(&work),
                run,
                ending,
                self.handed.runtime.clock.now_for(work.request.accepted_at),
            );
            let key = outcome.request_id.as_str().to_owned();
            outcomes.push(Outgoing::keyed(
                topics::OUTCOMES,
                key,
                Headers::of(&work.request),
                encode(&outcome),
            ));
        }
        bus.publish(outcomes, Vec::new()).await?;
        self.tell().await;
        Ok(())
    }
}
