//! The batch half: lines from `relay.batch.requests.v1` become requests of the batch class, and their outcomes become
//! `relay.batch.results.v1`. Nothing is refused for being too much: what finds the class full is put off, and stays in the log until
//! it is its tenant's turn.
//!
//! Delivery is at least once. A line that is read twice becomes the same request, so it ends once, and its result is that of
//! its first outcome, also after a restart; the same result may be handed out twice after a crash.
//!
//! A line that cannot be read at all gets a result too, if its sender named it outside of the value: by the headers
//! `relay-tenant`, `relay-custom-id` and `relay-batch-id` (or, for the batch, the record's key, `tenant/batch`).

pub mod gate;
pub mod intake;
pub mod line;
pub mod name;
pub mod repeats;
pub mod results;
pub mod turns;
mod verdict;
mod waiting;

use std::sync::Arc;

use relay_bus::topics;
use relay_runner::{Identity, RunnerError, Runtime, StageOptions, run_stage};

use intake::Intake;
use results::Results;

/// Both stages.
pub struct Batch {
    /// Lines in.
    pub intake: Intake,
    /// Results out.
    pub results: Results,
    /// Most lines, or results, at work at once.
    pub max_in_flight: usize,
}

impl Batch {
    /// Runs both stages until a drain is over.
    ///
    /// # Errors
    /// What nothing but a person mends.
    pub async fn run(self, runtime: &Runtime, identity: &Identity) -> Result<(), RunnerError> {
        let options = |group: &str, topic: &str| StageOptions {
            max_in_flight: self.max_in_flight,
            ..StageOptions::new(group, vec![topic.to_owned()])
        };
        let intake = options("relay.ingress.batch", topics::BATCH_REQUESTS);
        let results = StageOptions {
            in_order: true,
            ..options("relay.ingress.batch-results", topics::OUTCOMES)
        };
        tokio::try_join!(
            run_stage(Arc::new(self.intake), runtime, identity, intake),
            run_stage(Arc::new(self.results), runtime, identity, results),
        )?;
        Ok(())
    }
}
