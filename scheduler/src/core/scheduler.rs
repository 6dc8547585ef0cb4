//! The scheduler of one pool: its parts.

use relay_clock::{Timeline, millis};
use relay_lifecycle::{Ending, Known};
use relay_schemas::{Run, TenantId, TimestampMs, TokenCount, Usage};

use super::blocked::Blocked;
use super::counts::Tally;
use super::effects::{Effect, Effects};
use super::moves;
use super::queues::{Charge, Queues, Ticket};
use super::rate::Rate;
use super::recent::RecentRequests;
use super::recovery::Recovery;
use super::requests::{Doubt, Phase, Requests};
use super::workers::Workers;
use crate::config::Config;

/// The scheduler of one pool. What it does with an input stands in the file of that input.
///
/// Every `now` is of the steady clock, which nobody sets; what the wall clock says beside it [`Core::follow_clock`] tells.
pub struct Core {
    pub(super) config: Config,
    pub(super) pool: String,
    pub(super) requests: Requests,
    pub(super) queues: Queues,
    pub(super) workers: Workers,
    pub(super) recovery: Recovery,
    pub(super) ended: RecentRequests<()>,
    pub(super) cancelled: RecentRequests<TenantId>,
    pub(super) handed_over: RecentRequests<()>,
    pub(super) blocked: Blocked,
    pub(super) rate: Rate,
    pub(super) tally: Tally,
    pub(super) effects: Effects,
    pub(super) done_at: DoneAt,
    /// Since when the control seam is known to work.
    pub(super) seam_works_since: Option<TimestampMs>,
    /// When the log was last known to be away.
    pub(super) log_away_at: TimestampMs,
    /// How the wall clock was set beside the steady one.
    pub(super) timeline: Timeline,
}

/// When what is done from time to time was done last.
#[derive(Debug, Default)]
pub(super) struct DoneAt {
    pub(super) look_over: TimestampMs,
    pub(super) pool_status: TimestampMs,
}

impl Core {
    /// A core that holds nothing. `run` says who ends what it ends (attempt 0).
    pub fn new(config: Config, pool: impl Into<String>, run: Run) -> Self {
        Self {
            requests: Requests::default(),
            queues: Queues::new(&config),
            workers: Workers::new(millis(config.leases.fresh)),
            recovery: Recovery::default(),
            ended: RecentRequests::new(config.remembered.ended),
            cancelled: RecentRequests::new(config.remembered.cancelled),
            handed_over: RecentRequests::new(config.remembered.ended),
            blocked: Blocked::default(),
            rate: Rate::default(),
            tally: Tally::default(),
            effects: Effects::new(run),
            done_at: DoneAt::default(),
            seam_works_since: None,
            log_away_at: TimestampMs(0),
            timeline: Timeline::default(),
            pool: pool.into(),
            config,
        }
    }

    /// What is to be done; to be called after each input.
    pub fn effects(&mut self) -> Vec<Effect> {
        self.effects.take()
    }

    /// Ends a pending request: out of the queues or off its lease, and its outcome on its way.
    pub(super) fn end(&mut self, ticket: Ticket, mut ending: Ending, now: TimestampMs) {
        let (requests, queues, workers) = (&mut self.requests, &mut self.queues, &mut self.workers);
        // What a run is charged stands until its outcome is read, which says what it used.
        let Some(left) = moves::leave(requests, queues, workers, ticket) else {
            return;
        };
        self.requests.end(ticket);
        let Some(pending) = self.requests.get(ticket) else {
            return;
        };
        let (ready, attempt, trace) = (&pending.ready, pending.attempt, pending.trace.clone());
        let at = self.timeline.now_for(ready.request.accepted_at, now);
        match left {
            Phase::Leased(leased) => {
                if leased.doubt != Doubt::Unbegun {
                    ending.usage = Usage {
                        prompt_tokens: ready.request.prompt_tokens,
                        completion_tokens: TokenCount(leased.tokens),
                    };
                }
                let work = pending.work(&leased);
                self.effects.end(Known::Work(&work), attempt, ending, trace, at);
            }
            Phase::Moving | Phase::Queued | Phase::Leaving | Phase::Ending => {
                self.effects.end(Known::Ready(ready), attempt, ending, trace, at);
            }
        }
    }

    /// Takes a request out of whatever it stands in. A run that came to nothing is charged what it has computed.
    pub(super) fn leave(&mut self, ticket: Ticket) {
        let (requests, queues, workers) = (&mut self.requests, &mut self.queues, &mut self.workers);
        if moves::leave(requests, queues, workers, ticket).is_some() {
            moves::settle(requests, queues, ticket, Charge::computed);
        }
    }
}
