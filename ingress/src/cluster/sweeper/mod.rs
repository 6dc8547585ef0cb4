//! The sweeper: ends as `expired` what was accepted and forgotten, whatever went wrong before. It should never find anything.
//!
//! Ingresses share the partitions of `relay.requests.v1` as a group of their own. The group's commit is the lowest request that
//! is not known to have ended, so a restart forgets nothing, and the log's retention keeps what may still have to be ended.
//!
//! A round marks where outcomes end, then where requests end, reads the requests up to their mark, and then the outcomes up to
//! theirs: in this order no outcome is read before its request, whichever topic is slower.
//!
//! It does not share the reader of `answers`, which follows the end of the log whatever happens: that one hears of an outcome
//! before its request is read here, and what ended before a start it never reads. It reads nothing where all has ended.

mod end;
mod member;
mod passage;
mod round;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use prometheus::IntCounter;
use relay_bus::{Bus, BusError};
use relay_clock::Clock;
use relay_runner::{Backoff, Chance, Identity};
use relay_schemas::Registry;

use self::end::Ending;
use self::member::Member;
use crate::answers::questions::Questions;
use crate::config::SweepConfig;

/// Pauses between two tries to reach the log.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Looks after what this ingress's share of accepted requests came to.
pub struct Sweeper {
    /// The log.
    pub bus: Arc<dyn Bus>,
    /// Other writers' schemas.
    pub schemas: Arc<Registry>,
    /// Who ends them.
    pub identity: Identity,
    /// Asks the sink, which remembers longer than a round reads back.
    pub questions: Questions,
    /// Counts them.
    pub swept: IntCounter,
    /// Its limits.
    pub config: SweepConfig,
    /// When a deadline has passed.
    pub clock: Clock,
    /// Spreads the tries to reach the log.
    pub chance: Chance,
}

impl Sweeper {
    /// Sweeps, whatever interrupts it. Returns what waiting does not mend; dropped at the end.
    pub async fn run(self) -> BusError {
        let ending = Ending {
            bus: Arc::clone(&self.bus),
            schemas: self.schemas,
            run: self.identity.run(0),
            questions: self.questions,
            swept: self.swept,
            clock: self.clock.clone(),
        };
        let mut backoff = Backoff::new(FIRST, LONGEST, &self.chance);
        let mut away = false;
        loop {
            let member = Member::join(Arc::clone(&self.bus), &self.config, self.clock.clone()).await;
            let mut rounds = 0;
            let ended: Result<Infallible, BusError> = match member {
                Ok(member) => member.sweep(&ending, &mut rounds).await,
                Err(error) => Err(error),
            };
            if rounds > 0 {
                backoff.reset();
            }
            let Err(error) = ended;
            if !error.may_pass() {
                return error;
            }
            if rounds > 0 || !away {
                tracing::warn!(%error, "the sweeper waits for the log");
            }
            away = true;
            backoff.wait().await;
        }
    }
}
