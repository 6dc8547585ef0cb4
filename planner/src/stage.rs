//! `relay.requests.v1` → `relay.planned.v1`, or an outcome.

use std::sync::Arc;

use async_trait::async_trait;
use relay_bus::topics::PLANNED;
use relay_bus::{Headers, Outgoing, Record, read};
use relay_clock::Clock;
use relay_control::Control;
use relay_lifecycle::cache_key;
use relay_runner::{Identity, Stage, StageError, Step, crash_point, outcome_record};
use relay_schemas::{Outcome, Payload, Planned, Registry, Request, TimestampMs};

use crate::decide::decide;
use crate::metrics::Metrics;
use crate::reload::InForce;

pub(crate) struct PlannerStage {
    pub(crate) policy: InForce,
    pub(crate) identity: Identity,
    pub(crate) schemas: Arc<Registry>,
    pub(crate) control: Arc<dyn Control>,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Clock,
}

#[async_trait]
impl Stage for PlannerStage {
    /// The outcome whose final frame is due.
    type Effect = Arc<Outcome>;

    async fn on_record(&self, record: &Record) -> Result<Step<Self::Effect>, StageError> {
        let request: Arc<Request> = read(&self.schemas, record)?;
        let now = self.clock.now_for(request.accepted_at);
        Ok(self.decide(request, now))
    }

    async fn after_ack(&self, outcome: Self::Effect) {
        crash_point(self.identity.service, "before_final");
        relay_control::finish(&*self.control, &outcome, 0, true).await;
        crash_point(self.identity.service, "after_final");
    }
}

impl PlannerStage {
    fn decide(&self, request: Arc<Request>, now: TimestampMs) -> Step<Arc<Outcome>> {
        let planning = match decide(&self.policy.get(), &request, self.identity.run(0), now) {
            Ok(planning) => planning,
            Err(outcome) => {
                let outcome: Arc<Outcome> = outcome.into();
                self.metrics.ended(&outcome);
                let record = outcome_record(&outcome, Headers::of(&request));
                return Step::publish_then(record, outcome);
            }
        };
        self.metrics.planned();
        let planning = planning.into();
        let planned = Arc::new(Planned { request, planning });
        let request = &planned.request;
        let key = cache_key(
            &request.tenant,
            &request.request_hash,
            &planned.planning.plan.signature,
        );
        Step::publish(Outgoing::keyed(
            PLANNED,
            key,
            Headers::of(request),
            Payload::of(Arc::clone(&planned)),
        ))
    }
}
