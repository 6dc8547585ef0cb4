//! Records on their way into the log, and what each says of its request.

use rand::Rng;
use relay_lifecycle::life::{Event as LifeEvent, State};
use relay_schemas::{Lane, RequestId};

use crate::happening::Happening;
use crate::log::{Append, POOLS, pool, pool_of};
use crate::schedule::Actor;
use crate::world::World;

impl World {
    /// Sends a record to the log. It lands even if its writer dies meanwhile, unless it dies right away.
    pub(crate) fn append(&mut self, writer: Actor, record: Append) {
        let delay = self.log_delay();
        let epoch = self.life(writer).epoch;
        self.push(self.now.plus_ms(delay), Happening::Append(writer, epoch, record));
    }

    fn log_delay(&mut self) -> i64 {
        let most = if self.now < self.slow_until { 800 } else { 3 };
        self.random.random_range(0..=most)
    }

    pub(crate) fn land(&mut self, writer: Actor, epoch: i64, record: Append) {
        // What was still in the client's buffer when it died never left.
        if self.life(writer).epoch != epoch && self.random.random_bool(0.3) {
            return;
        }
        let now = self.now;
        let (offset, readers): (i64, Vec<Actor>) = match record.clone() {
            Append::Request(request) => (self.log.requests.append(*request, now), vec![Actor::Planner]),
            Append::Planned(planned) => (self.log.planned.append(*planned, now), vec![Actor::CacheService]),
            Append::Ready(ready) => {
                let pool = pool_of(&ready);
                let offset = self.log.pools[pool].ready.append(*ready, now);
                (offset, Actor::SCHEDULERS[pool].to_vec())
            }
            Append::Work(work, ready_at) => {
                let pool = pool(&work.queueing.pool);
                let topics = &mut self.log.pools[pool];
                let topic = match work.queueing.lane {
                    Lane::Short => &mut topics.short,
                    Lane::Long => &mut topics.long,
                };
                let readers = [Actor::SCHEDULERS[pool], Actor::WORKERS[pool]].concat();
                (topic.append((*work, ready_at), now), readers)
            }
            Append::Outcome(outcome) => {
                let mut readers = vec![
                    Actor::Ingress(0),
                    Actor::Ingress(1),
                    Actor::TraceSink,
                    Actor::CacheService,
                ];
                readers.extend(Actor::SCHEDULERS.concat());
                (self.log.outcomes.append(*outcome, now), readers)
            }
            Append::Scheduler(record) => {
                let pool = pool(&record.pool);
                let offset = self.log.pools[pool].scheduler.append(*record, now);
                (offset, Actor::SCHEDULERS[pool].to_vec())
            }
        };
        if matches!(record, Append::Request(_)) {
            self.wake_sweepers();
        }
        self.note(|| format!("log: {}", describe(&record, offset)));
        if let Some((id, event)) = event_of(&record) {
            self.lives_on(&id, event);
        }
        for reader in readers {
            let soon = self.log_delay();
            self.wake(reader, now.plus_ms(soon));
        }
        let delay = self.log_delay();
        self.push(now.plus_ms(delay), Happening::Acknowledged(writer, epoch, record));
    }

    /// Something happens to a request: it must be allowed to.
    pub(crate) fn lives_on(&mut self, id: &RequestId, event: LifeEvent) {
        let state = self.requests.entry(id.clone()).or_insert(State::New);
        match state.after(event) {
            Ok(next) => *state = next,
            Err(violation) => self.violations.push(format!("{id}: {violation}")),
        }
    }
}

/// What a record says of a request.
fn event_of(record: &Append) -> Option<(RequestId, LifeEvent)> {
    let (id, event) = match record {
        Append::Request(request) => (&request.request_id, LifeEvent::Accept),
        Append::Planned(planned) => (&planned.request.request_id, LifeEvent::Plan),
        Append::Ready(ready) => {
            let handed_over = ready.planning.handovers.last();
            let event = handed_over.map_or(LifeEvent::Queue, |last| LifeEvent::HandOver(last.attempts));
            (&ready.request.request_id, event)
        }
        Append::Work(work, _) => (&work.request.request_id, LifeEvent::Lease(work.lease.attempt)),
        Append::Outcome(outcome) => (&outcome.request_id, LifeEvent::end_of(outcome)),
        Append::Scheduler(_) => return None,
    };
    Some((id.clone(), event))
}

fn describe(record: &Append, offset: i64) -> String {
    let (topic, id): (&str, &RequestId) = match record {
        Append::Request(request) => ("requests", &request.request_id),
        Append::Planned(planned) => ("planned", &planned.request.request_id),
        Append::Ready(ready) => {
            let pool = POOLS[pool_of(ready)];
            return format!("ready.{pool}[{offset}] {}", ready.request.request_id);
        }
        Append::Work(work, _) => {
            let lease = &work.lease;
            let id = &work.request.request_id;
            return format!(
                "work.{}[{offset}] {id} attempt {} for {} under {}",
                work.queueing.pool, lease.attempt, lease.worker, lease.scheduler_epoch
            );
        }
        Append::Outcome(outcome) => {
            let run = &outcome.run;
            let id = &outcome.request_id;
            return format!(
                "outcomes[{offset}] {id} {:?} by {:?} {} attempt {}",
                outcome.status, run.service, run.instance, run.attempt
            );
        }
        Append::Scheduler(record) => {
            return format!(
                "scheduler.{}[{offset}] {:?} by {}",
                record.pool, record.kind, record.scheduler
            );
        }
    };
    format!("{topic}[{offset}] {id}")
}
