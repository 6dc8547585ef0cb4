//! One instance of a stateful stage: stands by until it wins the lead, leads until it loses it, and so on until a drain.

use std::time::Duration;

use super::election::{Election, LeadershipTopic};
use super::heartbeat::LeadershipTimes;
use super::log::LogClient;
use super::sleep::sleep_until;
use crate::runtime::Identity;

/// A leadership topic that is not read to its end and says nothing for so long is asked again where that is.
const SILENT: Duration = Duration::from_secs(1);

/// How a tenure ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tenure {
    /// Another instance leads.
    Deposed,
    /// By a drain.
    Drained,
    /// It does not read itself in the log: [`Election::is_cut_off`].
    CutOff,
}

/// A service that keeps state, of which one instance at a time decides.
pub trait StatefulStage: Send {
    /// By what it is decided which one.
    type Topic: LeadershipTopic;
    /// What nothing but a person mends.
    type Error: From<relay_bus::BusError> + Send;

    /// Waits, while it stands by, for something that only a leader needs, and lets it go. Is dropped while it waits.
    fn let_go(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Leads under the election's epoch, from its newest snapshot on, until it is deposed or the process drains.
    fn lead(
        &mut self,
        election: &mut Election<Self::Topic>,
    ) -> impl Future<Output = Result<Tenure, Self::Error>> + Send;
}

/// Stands by and leads in turn, until a drain.
///
/// # Errors
/// What the stage and the log say and waiting does not mend.
pub async fn run_stateful<S: StatefulStage>(
    log: LogClient,
    identity: Identity,
    topic: S::Topic,
    times: LeadershipTimes,
    stage: &mut S,
) -> Result<(), S::Error> {
    let name = topic.name();
    let shutdown = log.runtime().shutdown.clone();
    let mut election = tokio::select! {
        biased;
        () = shutdown.draining() => return Ok(()),
        opened = Election::open(log.clone(), identity, topic, times) => opened?,
    };
    while stand_by(&log, &mut election, stage).await? {
        let epoch = election.leadership().epoch();
        tracing::info!(messaging.topic = name, epoch, "this instance leads");
        match stage.lead(&mut election).await? {
            Tenure::Drained => break,
            Tenure::CutOff => {
                tracing::warn!(
                    messaging.topic = name,
                    epoch,
                    give_up_after_ms = times.give_up_after.as_millis() as u64,
                    "this instance has not read itself in the log for too long: it gives the lead up and begins anew"
                );
                tokio::select! {
                    biased;
                    () = shutdown.draining() => break,
                    () = election.give_up() => {}
                }
            }
            Tenure::Deposed => tracing::warn!(
                messaging.topic = name,
                epoch = election.leadership().epoch(),
                "another instance leads; this one stands by"
            ),
        }
    }
    Ok(())
}

/// Follows the leadership topic and claims the lead when it is free; false on a drain.
async fn stand_by<S: StatefulStage>(
    log: &LogClient,
    election: &mut Election<S::Topic>,
    stage: &mut S,
) -> Result<bool, S::Error> {
    let runtime = log.runtime();
    while !election.leadership().leads() {
        let now = runtime.clock.steady();
        if election.claim_due().is_some_and(|due| due <= now) {
            // A log that hangs holds no drain up. A claim that is left so may win: a standby takes over from it in its time.
            tokio::select! {
                biased;
                () = runtime.shutdown.draining() => return Ok(false),
                claimed = election.claim(now) => claimed?,
            }
        }
        let due = election.claim_due();
        let mut silent = false;
        tokio::select! {
            biased;
            () = runtime.shutdown.draining() => return Ok(false),
            records = election.next() => election.observe(&records?),
            idle = stage.let_go() => idle?,
            () = sleep_until(due, now) => {}
            () = tokio::time::sleep(SILENT), if !election.has_followed() => silent = true,
        }
        if silent {
            tokio::select! {
                biased;
                () = runtime.shutdown.draining() => return Ok(false),
                asked = election.bound_again() => asked?,
            }
        }
    }
    Ok(true)
}
