//! Wall clocks of processes, which may be set; the world's own time is what passes for each of them.

use relay_clock::Timeline;
use relay_schemas::TimestampMs;

use crate::schedule::Actor;
use crate::world::{Sabotage, World};

/// What each process's wall clock says, and what it has noticed of its being set.
#[derive(Default)]
pub(crate) struct Clocks {
    ahead_ms: [i64; Actor::ALL.len()],
    timelines: [Timeline; Actor::ALL.len()],
}

impl World {
    /// Somebody sets the wall clock of a process, or of all of them.
    pub(crate) fn set_clock(&mut self, actor: Option<Actor>, by_ms: i64) {
        for set in Actor::ALL {
            if actor.is_none_or(|actor| actor == set) {
                // As a process that does anything looks at its clock all the time.
                self.timeline(set);
                self.clocks.ahead_ms[set.index()] += by_ms;
            }
        }
    }

    /// A process starts: it knows of no step before.
    pub(crate) fn start_clock(&mut self, actor: Actor) {
        self.clocks.timelines[actor.index()] = Timeline::begin(self.wall(actor), self.now);
    }

    /// What a process's wall clock says.
    pub(crate) fn wall(&self, actor: Actor) -> TimestampMs {
        self.now.plus_ms(self.clocks.ahead_ms[actor.index()])
    }

    /// What a process knows of its clocks when it looks at them.
    pub(crate) fn timeline(&mut self, actor: Actor) -> Timeline {
        let (wall, now) = (self.wall(actor), self.now);
        let timeline = &mut self.clocks.timelines[actor.index()];
        timeline.look(wall, now);
        timeline.clone()
    }

    /// What a process says that it is, for something stamped at `stamp`.
    pub(crate) fn now_for(&mut self, actor: Actor, stamp: TimestampMs) -> TimestampMs {
        let now = self.now;
        self.timeline(actor).now_for(stamp, now)
    }

    /// By what a scheduler measures how long something takes.
    pub(crate) fn scheduler_now(&self, number: u8) -> TimestampMs {
        match self.sabotage {
            Sabotage::TrustWallClocks => self.wall(Actor::Scheduler(number)),
            _ => self.now,
        }
    }
}
