//! What a schedule does to the system, and processes that start again after it.

use rand::Rng;

use crate::happening::Happening;
use crate::ingress::Ingress;
use crate::schedule::{Actor, BROKEN_MS, Op};
use crate::scheduler::Scheduler;
use crate::worker::Worker;
use crate::world::{Life, World};

/// Of how many newest records one is damaged.
const NEWEST: i64 = 8;

impl World {
    pub(crate) fn event(&mut self, event: Op) {
        self.note(|| format!("--- {event:?}"));
        match event {
            Op::Ask {
                streamed,
                tokens,
                within,
                question,
            } => self.ask(streamed, tokens, within, question),
            Op::Repeat {
                earlier,
                streamed,
                within,
            } => self.repeat(usize::from(earlier), streamed, within),
            Op::Reuse {
                earlier,
                streamed,
                within,
            } => self.reuse(usize::from(earlier), streamed, within),
            Op::Leave(client) => self.leave(usize::from(client)),
            Op::Crash(actor, dead_for) => {
                self.lives[actor.index()] = Life::default();
                if let Actor::Ingress(number) = actor {
                    self.break_connections(number);
                }
                self.push(self.now.plus_ms(dead_for), Happening::Start(actor));
            }
            Op::Zombie(actor, frozen_for) => {
                let life = &mut self.lives[actor.index()];
                life.frozen_until = life.frozen_until.max(self.now.plus_ms(frozen_for));
            }
            Op::Rough(lasting) => self.network.rough_until = self.now.plus_ms(lasting),
            Op::Partition(actor, lasting) => self.network.cut(actor, self.now.plus_ms(lasting)),
            Op::Slow(lasting) => self.slow_until = self.now.plus_ms(lasting),
            Op::Pause(lasting) => self.log_back_at = self.log_back_at.max(self.now.plus_ms(lasting)),
            Op::Duplicate(actor) => self.reread(actor),
            Op::Lose(actor) => self.lose_next(actor),
            Op::SetClock(actor, by_ms) => self.set_clock(actor, by_ms),
            Op::Break { worker, tells } => {
                let until = self.now.plus_ms(BROKEN_MS);
                self.workers[usize::from(worker)].break_model(until, tells);
                self.wake(Actor::Worker(worker), self.now);
            }
        }
    }

    pub(crate) fn start(&mut self, actor: Actor) {
        if self.life(actor).epoch != 0 {
            return;
        }
        let epoch = self.now.0;
        self.lives[actor.index()] = Life {
            epoch,
            ..Life::default()
        };
        self.start_clock(actor);
        match actor {
            Actor::Ingress(number) => {
                self.ingresses[usize::from(number)] =
                    Ingress::new(number, self.log.outcomes.end(), self.swept_to);
            }
            Actor::Planner => self.planner.crash(),
            Actor::CacheService => self.cache_service.crash(),
            Actor::Scheduler(number) => self.schedulers[usize::from(number)] = Scheduler::new(number, epoch),
            Actor::Worker(number) => {
                let from = self.random.random_range(0..=4);
                self.workers[usize::from(number)] = Worker::restarted(number, epoch, &self.log, from);
            }
            // Its position is committed with its rows; a step back is what `reread` is for.
            Actor::TraceSink => {}
        }
        self.wake(actor, self.now);
    }

    /// The next record that it reads is lost: nothing comes of it.
    fn lose_next(&mut self, actor: Actor) {
        match actor {
            Actor::Planner => self.planner.lose_next(),
            Actor::CacheService => self.cache_service.lose_next(),
            Actor::Scheduler(number) => self.damage(Actor::pool(number)),
            Actor::Ingress(_) | Actor::Worker(_) | Actor::TraceSink => {}
        }
    }

    /// The disk damages one of the newest records of a pool's `ready`, whether it was read before or not.
    fn damage(&mut self, pool: usize) {
        let topics = &mut self.log.pools[pool];
        let end = topics.ready.end();
        if end > 0 {
            let offset = self.random.random_range((end - NEWEST).max(0)..end);
            topics.damaged.insert(offset);
            self.note(|| format!("the record of `ready` at {offset} is damaged"));
        }
    }

    /// A rebalance: read again what was read already.
    fn reread(&mut self, actor: Actor) {
        let back = self.random.random_range(1..4);
        match actor {
            Actor::Planner => self.planner.reread(back),
            Actor::CacheService => self.cache_service.reread(back),
            Actor::TraceSink => self.sink.reread(back),
            Actor::Worker(number) => self.workers[usize::from(number)].reread(back),
            Actor::Ingress(_) | Actor::Scheduler(_) => return,
        }
        self.wake(actor, self.now);
    }
}
