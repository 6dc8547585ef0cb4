//! What the scheduler counts.

use prometheus::{
    Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
    register_histogram_vec_with_registry, register_int_counter_vec_with_registry,
    register_int_gauge_vec_with_registry,
};
use relay_runner::superseded_counter;
use relay_schemas::Service;

use crate::core::Counts;

/// From sub-millisecond (an idle pool) to minutes (a full one).
const QUEUE_WAIT_SECONDS: [f64; 14] = [
    0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];
/// A decision takes microseconds; the buckets show when it does not.
const DECISION_SECONDS: [f64; 8] = [
    0.000_002, 0.000_005, 0.000_01, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.01,
];

/// All pools' metrics.
pub(crate) struct Metrics {
    waiting: IntGaugeVec,
    tenants_waiting: IntGaugeVec,
    running: IntGaugeVec,
    body_bytes: IntGaugeVec,
    leader: IntGaugeVec,
    fairness_gap: IntGaugeVec,
    fairness_bound: IntGaugeVec,
    dispatches: IntCounterVec,
    retries: IntCounterVec,
    handovers: IntCounterVec,
    revocations: IntCounterVec,
    duplicates: IntCounterVec,
    superseded: IntCounter,
    unpublished_bytes: IntGaugeVec,
    endings: IntCounterVec,
    garbage: IntCounterVec,
    takeovers: IntCounterVec,
    takeover_seconds: HistogramVec,
    queue_wait: HistogramVec,
    decision: HistogramVec,
}

/// One pool's share of them.
pub(crate) struct PoolMetrics {
    all: std::sync::Arc<Metrics>,
    pool: String,
    reported: Counts,
    dispatches: [IntCounter; 2],
    queue_wait: [Histogram; 2],
    pub(super) decision: Histogram,
    pub(super) leader: IntGauge,
    pub(super) takeovers: IntCounter,
    pub(super) takeover_seconds: Histogram,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let name = |name: &str| format!("relay_scheduler_{name}");
        let gauge = |metric: &str, help: &str, labels: &[&str]| {
            register_int_gauge_vec_with_registry!(name(metric), help, labels, registry)
        };
        let counter = |metric: &str, help: &str, labels: &[&str]| {
            register_int_counter_vec_with_registry!(name(metric), help, labels, registry)
        };
        let histogram = |metric: &str, help: &str, labels: &[&str], buckets: &[f64]| {
            register_histogram_vec_with_registry!(name(metric), help, labels, buckets.to_vec(), registry)
        };
        let pool = &["pool"];
        Ok(Self {
            waiting: gauge(
                "waiting_requests",
                "Requests that wait, by flow.",
                &["pool", "flow"],
            )?,
            tenants_waiting: gauge("waiting_tenants", "Tenants that wait.", pool)?,
            running: gauge("leased_requests", "Requests that are leased to workers.", pool)?,
            body_bytes: gauge("body_bytes", "Bytes of request bodies held.", pool)?,
            leader: gauge("leader", "1 while this instance leads the pool.", pool)?,
            fairness_gap: gauge(
                "fairness_gap_tokens",
                "Greatest less least virtual counter among waiting tenants, weighted tokens.",
                pool,
            )?,
            fairness_bound: gauge(
                "fairness_bound_tokens",
                "The VTC bound 2*max(w_in*L_in, w_out*M), weighted tokens.",
                pool,
            )?,
            dispatches: counter("dispatches_total", "Leases granted, by lane.", &["pool", "lane"])?,
            retries: counter("retries_total", "Leases granted beyond a request's first.", pool)?,
            handovers: counter("handovers_total", "Requests handed over to another pool.", pool)?,
            revocations: counter(
                "revocations_total",
                "Leases revoked because no worker showed them.",
                pool,
            )?,
            duplicates: counter(
                "duplicate_offers_total",
                "Offers of requests that were known or had ended.",
                pool,
            )?,
            superseded: superseded_counter(registry, Service::Scheduler)?,
            unpublished_bytes: gauge(
                "unpublished_bytes",
                "Bytes of endings and dead letters that wait to be published.",
                pool,
            )?,
            endings: counter(
                "endings_total",
                "Requests ended by the scheduler, by code.",
                &["pool", "code"],
            )?,
            garbage: counter(
                "garbage_total",
                "Records that could not be read, by topic.",
                &["pool", "topic"],
            )?,
            takeovers: counter("takeovers_total", "How often this instance won the lead.", pool)?,
            takeover_seconds: histogram(
                "takeover_seconds",
                "From winning the lead to the first decision.",
                pool,
                &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0],
            )?,
            queue_wait: histogram(
                "queue_wait_seconds",
                "Time in the queue, by lane.",
                &["pool", "lane"],
                &QUEUE_WAIT_SECONDS,
            )?,
            decision: histogram(
                "decision_seconds",
                "Time of one dispatch decision.",
                pool,
                &DECISION_SECONDS,
            )?,
        })
    }
}

impl PoolMetrics {
    pub(crate) fn new(all: std::sync::Arc<Metrics>, pool: &str) -> Self {
        Self {
            dispatches: ["short", "long"].map(|lane| all.dispatches.with_label_values(&[pool, lane])),
            queue_wait: ["short", "long"].map(|lane| all.queue_wait.with_label_values(&[pool, lane])),
            decision: all.decision.with_label_values(&[pool]),
            leader: all.leader.with_label_values(&[pool]),
            takeovers: all.takeovers.with_label_values(&[pool]),
            takeover_seconds: all.takeover_seconds.with_label_values(&[pool]),
            pool: pool.to_owned(),
            reported: Counts::default(),
            all,
        }
    }

    pub(super) fn dispatched(&self, queueing: &relay_schemas::Queueing) {
        let lane = queueing.lane as usize;
        self.dispatches[lane].inc();
        self.queue_wait[lane].observe(queueing.queue_wait_ms as f64 / 1_000.0);
    }

    pub(super) fn ended(&self, code: Option<&str>) {
        self.all
            .endings
            .with_label_values(&[self.pool.as_str(), code.unwrap_or("none")])
            .inc();
    }

    /// `input` is one of a few fixed words.
    pub(super) fn garbage(&self, input: &'static str) {
        self.all
            .garbage
            .with_label_values(&[self.pool.as_str(), input])
            .inc();
    }

    /// A new core counts from nothing.
    pub(super) fn start_over(&mut self) {
        self.reported = Counts::default();
    }

    /// Shows what the core counts.
    pub(super) fn show(&mut self, core: &crate::core::Core, unpublished_bytes: usize) {
        let counts = core.counts();
        let pool = &[self.pool.as_str()];
        let waiting = [
            ("short", counts.waiting_short),
            ("long", counts.waiting_long),
            ("batch", counts.waiting_batch),
        ];
        for (flow, count) in waiting {
            self.all
                .waiting
                .with_label_values(&[self.pool.as_str(), flow])
                .set(count as i64);
        }
        self.all
            .tenants_waiting
            .with_label_values(pool)
            .set(core.tenants_waiting() as i64);
        self.all
            .running
            .with_label_values(pool)
            .set(counts.running as i64);
        self.all
            .unpublished_bytes
            .with_label_values(pool)
            .set(unpublished_bytes as i64);
        self.all
            .body_bytes
            .with_label_values(pool)
            .set(counts.body_bytes as i64);
        let (gap, bound) = core.fairness();
        self.all.fairness_gap.with_label_values(pool).set(gap as i64);
        self.all.fairness_bound.with_label_values(pool).set(bound as i64);
        let grown = [
            (&self.all.retries, counts.retried, self.reported.retried),
            (&self.all.handovers, counts.handed_over, self.reported.handed_over),
            (&self.all.revocations, counts.revoked, self.reported.revoked),
            (&self.all.duplicates, counts.duplicates, self.reported.duplicates),
        ];
        for (counter, now, before) in grown {
            counter.with_label_values(pool).inc_by(now.saturating_sub(before));
        }
        let superseded = counts.superseded.saturating_sub(self.reported.superseded);
        self.all.superseded.inc_by(superseded);
        self.reported = counts;
    }
}
