//! What a worker counts.

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry, exponential_buckets,
    register_histogram_with_registry as histogram, register_int_counter_vec_with_registry as counters,
    register_int_counter_with_registry as counter, register_int_gauge_vec_with_registry as gauges,
};

use relay_schemas::{ModelState, ModelStatus};

/// The worker's metrics.
pub struct Metrics {
    /// Runs, by how they ended.
    pub runs: IntCounterVec,
    /// Work records passed over, by reason.
    pub skipped: IntCounterVec,
    /// Requests held, by lane.
    pub in_flight: IntGaugeVec,
    /// 1 for the state that each declared model is in, else 0.
    pub model_states: IntGaugeVec,
    /// Requests of each model that are asked for at once.
    pub model_slots: IntGaugeVec,
    /// Start of a run to its first token.
    pub first_token_seconds: Histogram,
    /// Start of a run to its end.
    pub run_seconds: Histogram,
    /// Prompt tokens of all runs.
    pub prompt_tokens: IntCounter,
    /// Tokens of all answers.
    pub completion_tokens: IntCounter,
    /// Runs that went on to another candidate.
    pub fallbacks: IntCounter,
    /// Chunks of endpoints that were not understood, by what came of it.
    pub chunks_not_understood: IntCounterVec,
    /// Fields of endpoints' answers that were dropped for their size.
    pub fields_dropped: IntCounter,
}

impl Metrics {
    /// Registers those of a worker of `pool`.
    pub fn register(registry: &Registry, pool: &str) -> Result<Self, prometheus::Error> {
        // Told apart by a label that does not change: a process may have a worker of each of several pools.
        let of_pool = |name: &str, help: &str| Opts::new(name, help).const_label("pool", pool);
        // From 1 ms (a remote mock) to 65 s (a long answer on a small machine), in doublings.
        let seconds = |common_opts: Opts| -> Result<HistogramOpts, prometheus::Error> {
            let buckets = exponential_buckets(0.001, 2.0, 17)?;
            Ok(HistogramOpts { common_opts, buckets })
        };
        Ok(Self {
            runs: counters!(
                of_pool("relay_workers_runs_total", "Runs, by how they ended."),
                &["status"],
                registry
            )?,
            skipped: counters!(
                of_pool(
                    "relay_workers_skipped_total",
                    "Work records passed over, by reason."
                ),
                &["reason"],
                registry
            )?,
            in_flight: gauges!(
                of_pool("relay_workers_in_flight_requests", "Requests held, by lane."),
                &["lane"],
                registry
            )?,
            model_states: gauges!(
                of_pool(
                    "relay_workers_model_state",
                    "1 for the state that a declared model is in: loading, ready or failed."
                ),
                &["model", "state"],
                registry
            )?,
            model_slots: gauges!(
                of_pool(
                    "relay_workers_model_slots",
                    "Requests of a model that this worker asks for at once: never more than it turns, none unless it is ready."
                ),
                &["model"],
                registry
            )?,
            first_token_seconds: histogram!(
                seconds(of_pool(
                    "relay_workers_first_token_seconds",
                    "Start of a run to its first token."
                ))?,
                registry
            )?,
            run_seconds: histogram!(
                seconds(of_pool("relay_workers_run_seconds", "Start of a run to its end."))?,
                registry
            )?,
            prompt_tokens: counter!(
                of_pool("relay_workers_prompt_tokens_total", "Prompt tokens of all runs."),
                registry
            )?,
            completion_tokens: counter!(
                of_pool("relay_workers_completion_tokens_total", "Tokens of all answers."),
                registry
            )?,
            fallbacks: counter!(
                of_pool(
                    "relay_workers_fallbacks_total",
                    "Runs that went on to another candidate."
                ),
                registry
            )?,
            chunks_not_understood: counters!(
                of_pool(
                    "relay_workers_chunks_not_understood_total",
                    "Chunks of endpoints that were not understood, by what came of it: skipped, or the run failed."
                ),
                &["effect"],
                registry
            )?,
            fields_dropped: counter!(
                of_pool(
                    "relay_workers_fields_dropped_total",
                    "Unknown fields of endpoints' answers that were dropped for their size; the answer says so."
                ),
                registry
            )?,
        })
    }

    /// Tells how the models are.
    pub fn models(&self, models: &[ModelStatus]) {
        for ModelStatus {
            model, state, slots, ..
        } in models
        {
            for (name, is) in [
                ("loading", ModelState::Loading),
                ("ready", ModelState::Ready),
                ("failed", ModelState::Failed),
            ] {
                let gauge = self.model_states.with_label_values(&[model.as_str(), name]);
                gauge.set(i64::from(*state == is));
            }
            self.model_slots
                .with_label_values(&[model.as_str()])
                .set(i64::from(*slots));
        }
    }
}
