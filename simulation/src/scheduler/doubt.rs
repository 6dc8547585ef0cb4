//! Leases in doubt: outcomes folded to their end, then the ingress asked.

use relay_scheduler::core::{Attempt, Doubted, Input};
use relay_schemas::TimestampMs;

use crate::network::Message;
use crate::schedule::Actor;
use crate::world::World;

const FENCE_TIMEOUT_MS: i64 = 500;
const CONTROL_GRACE_MS: i64 = 500;

/// A run that an ingress is asked to fence.
pub(super) struct Fencing {
    pub attempt: Attempt,
    pub ingress: Option<Actor>,
    /// Questions that were asked over a working seam.
    pub asked: u32,
    /// The one on its way.
    pub open: bool,
    pub due: TimestampMs,
}

impl World {
    /// Settled is what is folded up to where outcomes ended, once the control seam works and workers had time to show themselves.
    pub(super) fn settle(&mut self, number: u8) {
        if self
            .network
            .back_at(Actor::Scheduler(number))
            .plus_ms(CONTROL_GRACE_MS)
            > self.now
        {
            return;
        }
        if !self.log_moves() {
            return;
        }
        let present = self.log.outcomes.end();
        let scheduler = &mut self.schedulers[usize::from(number)];
        for (end, _) in &mut scheduler.settling {
            end.get_or_insert(present);
        }
        let folded = scheduler.next[&Input::Outcomes];
        let (ready, waiting) = std::mem::take(&mut scheduler.settling)
            .into_iter()
            .partition(|(end, _)| end.is_some_and(|end| end <= folded));
        scheduler.settling = waiting;
        let ready: Vec<(Option<i64>, Vec<Doubted>)> = ready;
        for (_, doubts) in ready {
            scheduler.core.settled(&doubts, self.now);
        }
    }

    /// Asks, and after two questions over a working seam without an answer goes on without.
    pub(super) fn fence_again(&mut self, number: u8) {
        let now = self.now;
        let due = |fencing: &Fencing| fencing.due <= now;
        let all = std::mem::take(&mut self.schedulers[usize::from(number)].fencing);
        let (due, later): (Vec<_>, Vec<_>) = all.into_iter().partition(due);
        self.schedulers[usize::from(number)].fencing = later;
        let back_at = self.network.back_at(Actor::Scheduler(number));
        for mut fencing in due {
            let whole = back_at.plus_ms(FENCE_TIMEOUT_MS) <= now;
            fencing.asked += u32::from(std::mem::take(&mut fencing.open) && whole);
            let Some(ingress) = fencing.ingress.filter(|_| fencing.asked < 2) else {
                self.schedulers[usize::from(number)]
                    .core
                    .fence_answer(&fencing.attempt, None, now);
                continue;
            };
            let Attempt { request_id, attempt } = fencing.attempt.clone();
            self.send(
                Actor::Scheduler(number),
                ingress,
                Message::AskFence(request_id, attempt, Actor::Scheduler(number)),
            );
            fencing.open = true;
            fencing.due = now.plus_ms(FENCE_TIMEOUT_MS);
            self.schedulers[usize::from(number)].fencing.push(fencing);
        }
    }
}
