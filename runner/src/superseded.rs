//! The one metric that every consumer of outcomes has.

use prometheus::{IntCounter, Opts, Registry, register_int_counter_with_registry};
use relay_schemas::Service;

/// Counts the outcomes that `service` ignored because another one had won: `relay_outcomes_superseded_total`, told apart by
/// the label `service`.
///
/// # Errors
/// If the service has registered it in this process already.
pub fn superseded_counter(registry: &Registry, service: Service) -> prometheus::Result<IntCounter> {
    let opts = Opts::new(
        "relay_outcomes_superseded_total",
        "Outcomes ignored because another one won.",
    );
    register_int_counter_with_registry!(opts.const_label("service", service.name()), registry)
}
