//! The batch half: lines from `relay.batch.requests.v1` become requests of the batch class, and their outcomes become
//! `relay.batch.results.v1`. Nothing is refused for being too much: while the class is full, the intake pauses.
//!
//! Delivery is at least once. A line that is read twice becomes the same request, so it ends once, and its result is that of
//! its first outcome, also after a restart; the same result may be handed out twice after a crash.
//!
//! A line that cannot be read at all gets a result too, if its sender named it outside of the value: by the headers
//! `relay-custom-id` and `relay-batch-id` (or, for the batch, the record's key).

mod gate;
mod intake;
mod last_word;
mod name;
mod results;

use std::sync::Arc;
use std::time::Duration;

use relay_bus::topics;
use relay_runner::{StageOptions, run_stage};

use crate::Error;
use crate::gateway::Gateway;
pub use gate::Gate;
pub use intake::Intake;
pub use results::Results;

/// Longest drain of the intake: a line in hand either waits for room, and then stays in the log, or is being published.
const INTAKE_GRACE: Duration = Duration::from_secs(1);

/// Runs both stages until a drain is over; returns at once where the batch half is switched off.
///
/// # Errors
/// What nothing but a person mends.
pub async fn run(gateway: &Arc<Gateway>) -> Result<(), Error> {
    if !gateway.config.batch.enabled {
        return Ok(());
    }
    let (runtime, identity) = (&gateway.runtime, &gateway.identity);
    let options = |group: &str, topic: &str, grace| StageOptions {
        max_in_flight: gateway.config.batch.max_in_flight,
        grace,
        ..StageOptions::new(group, vec![topic.to_owned()])
    };
    let grace = Duration::from_millis(gateway.config.grace_ms);
    let intake = run_stage(
        Arc::new(Intake::new(Arc::clone(gateway))),
        runtime,
        identity,
        options(
            "relay.ingress.batch",
            topics::BATCH_REQUESTS,
            grace.min(INTAKE_GRACE),
        ),
    );
    let results = run_stage(
        Arc::new(Results::new(Arc::clone(gateway))),
        runtime,
        identity,
        StageOptions {
            in_order: true,
            ..options("relay.ingress.batch-results", topics::OUTCOMES, grace)
        },
    );
    tokio::try_join!(intake, results)?;
    Ok(())
}
