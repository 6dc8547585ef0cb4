//! `relay.requests.v1` → `relay.planned.v1`, or an outcome.

use std::sync::Arc;

use async_trait::async_trait;
use relay_bus::topics::{OUTCOMES, PLANNED};
use relay_bus::{Headers, Identity, Outgoing, Record, Stage, StageError, Step, crash_point, decode};
use relay_control::Control;
use relay_lifecycle::{Ending, Known, cache_key, end};
use relay_schemas::{Outcome, OutcomeStatus, Planned, Registry, Request, TimestampMs, encode};

use crate::metrics::Metrics;
use crate::reload::InForce;
use crate::replan;

pub(crate) struct PlannerStage {
    pub(crate) policy: InForce,
    pub(crate) identity: Identity,
    pub(crate) schemas: Arc<Registry>,
    pub(crate) control: Arc<dyn Control>,
    pub(crate) metrics: Metrics,
}

#[async_trait]
impl Stage for PlannerStage {
    /// The outcome whose final frame is due.
    type Effect = Box<Outcome>;

    async fn on_record(&self, record: &Record) -> Result<Step<Self::Effect>, StageError> {
        let request: Request = decode(&self.schemas, record)?;
        Ok(self.decide(request, TimestampMs::now()))
    }

    async fn after_ack(&self, outcome: Self::Effect) {
        crash_point(self.identity.service, "before_final");
        relay_control::finish(&*self.control, &outcome, 0, true).await;
        crash_point(self.identity.service, "after_final");
    }
}

impl PlannerStage {
    fn decide(&self, request: Request, now: TimestampMs) -> Step<Box<Outcome>> {
        if now >= request.deadline {
            return self.expired(Known::Request(&request), &request, now);
        }
        let planning = match replan(&self.policy.get(), &request, now) {
            Ok(planning) => planning,
            Err(refusal) => {
                self.metrics.decided(refusal.code);
                let ending = Ending::because(OutcomeStatus::Failed, refusal.code, refusal.message);
                return self.ended(Known::Request(&request), &request, ending, now);
            }
        };
        let planned = Planned { request, planning };
        let request = &planned.request;
        if now >= planned.planning.plan.deadline {
            return self.expired(Known::Planned(&planned), request, now);
        }
        self.metrics.decided("planned");
        let key = cache_key(
            &request.tenant,
            &request.request_hash,
            &planned.planning.plan.signature,
        );
        Step::publish(Outgoing::keyed(
            PLANNED,
            key,
            Headers::of(request),
            encode(&planned),
        ))
    }

    fn expired(&self, known: Known<'_>, request: &Request, now: TimestampMs) -> Step<Box<Outcome>> {
        self.metrics.decided("expired");
        let message = "the deadline passed before the request was planned";
        let ending = Ending::because(OutcomeStatus::Expired, "deadline_exceeded", message);
        self.ended(known, request, ending, now)
    }

    fn ended(
        &self,
        known: Known<'_>,
        request: &Request,
        ending: Ending,
        now: TimestampMs,
    ) -> Step<Box<Outcome>> {
        let outcome = end(known, self.identity.run(0), ending, now);
        let key = request.request_id.as_str().to_owned();
        let record = Outgoing::keyed(OUTCOMES, key, Headers::of(request), encode(&outcome));
        Step::publish_then(record, Box::new(outcome))
    }
}
