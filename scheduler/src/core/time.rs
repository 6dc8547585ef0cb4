//! Time passes: the lead begins, deadlines pass, leases are looked over, the pool's status is sent.

use relay_clock::{Timeline, millis};
use relay_lifecycle::Ending;
use relay_schemas::{OutcomeStatus, TimestampMs};

use super::effects::Effect;
use super::scheduler::Core;

/// How often leases are looked over, milliseconds.
const LOOK_OVER_MS: i64 = 100;

impl Core {
    /// From now on decides, under `epoch`. Leases of predecessors get a full term to be shown by their workers.
    pub fn lead(&mut self, epoch: i64, now: TimestampMs) {
        self.done_at.look_over = now;
        self.workers.lead(now);
        self.requests.renew(now);
        self.recovery.lead(epoch);
        self.look_over_service(now);
        self.cancel_waiting(now);
        self.tick(now);
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: TimestampMs) {
        if !self.recovery.leads() {
            return;
        }
        self.end_orphans(now);
        while let Some((_, ticket)) = self.requests.next_deadline().filter(|(due, _)| *due <= now) {
            let late = Ending::because(
                OutcomeStatus::Expired,
                "deadline_exceeded",
                "its deadline passed while it waited in the queue",
            );
            self.end(ticket, late, now);
        }
        if now.since_ms(self.done_at.look_over) >= LOOK_OVER_MS {
            self.done_at.look_over = now;
            self.look_over_leases(now);
            self.look_over_service(now);
            self.look_over_unserved(now);
            self.hand_over_blocked(now);
            let silent = 10 * millis(self.config.leases.lost_after);
            self.workers.forget_silent(now.plus_ms(-silent));
        }
        if now.since_ms(self.done_at.pool_status) >= millis(self.config.pool_status_every) {
            self.done_at.pool_status = now;
            let status = self.pool_status(now);
            self.effects.push(Effect::PoolStatus(status));
        }
    }

    /// How the wall clock was set beside the steady one, as it stands; says whether it was set since this was told last.
    pub fn follow_clock(&mut self, timeline: Timeline) -> bool {
        let was_set = self.timeline.steps() != timeline.steps();
        self.timeline = timeline;
        was_set
    }

    /// When [`Core::tick`] is due next.
    pub fn next_wakeup(&self) -> Option<TimestampMs> {
        if !self.recovery.leads() {
            return None;
        }
        let every = millis(self.config.pool_status_every);
        let status = self.done_at.pool_status.plus_ms(every);
        let look_over = self.done_at.look_over.plus_ms(LOOK_OVER_MS);
        let looks = self.requests.running() + self.requests.queued() > 0 || !self.blocked.is_empty();
        let leases = looks.then_some(look_over);
        let deadline = self.requests.next_deadline().map(|(deadline, _)| deadline);
        [Some(status), leases, deadline].into_iter().flatten().min()
    }
}
