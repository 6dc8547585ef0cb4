//! `relay.planned.v1` → an outcome from the cache, or `relay.ready.<pool>.v1`.

use std::sync::Arc;

use async_trait::async_trait;
use relay_bus::topics::ready;
use relay_bus::{Headers, Outgoing, Record, decode};
use relay_clock::Clock;
use relay_control::Control;
use relay_runner::{Identity, Stage, StageError, Step, crash_point, outcome_record};
use relay_schemas::{CacheStatus, Outcome, Payload, Planned, Ready, Registry, TimestampMs};

use crate::decide::{answered, expired, looked_up};
use crate::entry::Owner;
use crate::levels::{Levels, LookupResult};
use crate::metrics::Metrics;

pub(crate) struct LookupStage {
    pub(crate) levels: Arc<Levels>,
    pub(crate) identity: Identity,
    pub(crate) schemas: Arc<Registry>,
    pub(crate) clock: Clock,
    pub(crate) control: Arc<dyn Control>,
    pub(crate) metrics: Metrics,
}

#[async_trait]
impl Stage for LookupStage {
    /// The outcome whose text and final frame are due.
    type Effect = Arc<Outcome>;

    async fn on_record(&self, record: &Record) -> Result<Step<Self::Effect>, StageError> {
        let planned: Planned = decode(&self.schemas, record)?;
        let now = self.clock.now_for(planned.request.accepted_at);
        if now >= planned.planning.plan.deadline {
            self.metrics.looked_up("expired");
            let outcome = expired(&planned, self.identity.run(0), now);
            return Ok(ended(Headers::of(&planned.request), outcome));
        }
        self.look_up(planned, now).await
    }

    async fn after_ack(&self, outcome: Self::Effect) {
        crash_point(self.identity.service, "before_final");
        relay_control::finish(&*self.control, &outcome, 0, true).await;
        crash_point(self.identity.service, "after_final");
    }
}

impl LookupStage {
    async fn look_up(&self, planned: Planned, now: TimestampMs) -> Result<Step<Arc<Outcome>>, StageError> {
        let plan = &planned.planning.plan;
        let owner = Owner::of(&planned.request, plan);
        let key = owner.key();
        let found = if plan.cache.exact {
            Some(self.levels.get(&key, &owner, plan.cache.ttl_ms, now).await)
        } else {
            None
        };
        let (status, label) = match &found {
            None => (CacheStatus::Off, "off"),
            Some(LookupResult::Hit(_, level)) => (CacheStatus::Hit, *level),
            Some(LookupResult::Miss) => (CacheStatus::Miss, "miss"),
            Some(LookupResult::Unavailable) => (CacheStatus::Unavailable, "unavailable"),
        };
        self.metrics.looked_up(label);
        let ready = looked_up(planned, key, status, now);
        match found {
            Some(LookupResult::Hit(entry, level)) => {
                let headers = Headers::of(&ready.request);
                // The clock again: Redis may have taken its time.
                let now = self.clock.now_for(ready.request.accepted_at);
                let outcome = answered(ready, &entry, level, self.identity.run(0), now);
                Ok(ended(headers, outcome))
            }
            _ => hand_on(ready),
        }
    }
}

fn ended(headers: Headers, outcome: Outcome) -> Step<Arc<Outcome>> {
    let outcome = Arc::new(outcome);
    Step::publish_then(outcome_record(&outcome, headers), outcome)
}

fn hand_on(offer: Ready) -> Result<Step<Arc<Outcome>>, StageError> {
    let offer = Arc::new(offer);
    let request = &offer.request;
    let candidates = &offer.planning.plan.candidates;
    // The planner never leaves it empty; a record that is so comes from elsewhere.
    let pool = &candidates
        .first()
        .ok_or_else(|| StageError::Poison("a plan without a candidate".to_owned()))?
        .pool;
    let key = request.tenant.as_str().to_owned();
    Ok(Step::publish(Outgoing::keyed(
        ready(pool),
        key,
        Headers::of(request),
        Payload::of(Arc::clone(&offer)),
    )))
}
