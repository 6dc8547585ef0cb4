//! One run of one leased request: which model, until what happens, and what its outcome says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use relay_clock::{Clock, millis};
use relay_lifecycle::{Ending, Known, Transcript, end, next_pool};
use relay_schemas::{Answer, Choice, Outcome, OutcomeStatus, Run, Work};
use tokio_util::sync::CancellationToken;

use crate::backend::{Backend, Code, Failure, Finished};
use crate::catalogue::Catalogue;
use crate::emitter::{Emitter, Taken};
use crate::metrics::Metrics;
use crate::models::Price;
use crate::price::cost;
use crate::stream::Stream;

/// What runs need.
pub struct Runner {
    /// The models.
    pub catalogue: Catalogue,
    /// The pool whose candidates may run here.
    pub pool: String,
    /// Tells the time.
    pub clock: Clock,
    /// Counters.
    pub metrics: Metrics,
}

/// How a run came to its end.
enum RunEnd {
    Finished(Finished),
    Failed(Failure),
    Cancelled,
    Expired,
}

/// What came of a run.
pub enum RunResult {
    /// It ended. With where its last frame goes.
    Ended(Box<Outcome>, Option<Stream>),
    /// Every candidate of this pool failed before a client saw anything of it, and the plan names another pool, or another worker may
    /// do better.
    GivenBack(Failure),
}

/// The model that a run came to.
struct Chosen {
    name: String,
    backend: Arc<dyn Backend>,
    price: Price,
}

impl Runner {
    /// Runs `work` to its end, whatever that is, or gives it back for another worker or pool.
    pub async fn run(
        &self,
        mut work: Work,
        run: Run,
        mut out: Emitter,
        cancel: &CancellationToken,
    ) -> RunResult {
        let accepted_at = work.request.accepted_at;
        let began = (self.clock.instant(), self.clock.now_for(accepted_at));
        let mut chosen = None;
        let deadline = work.planning.plan.deadline.min(work.request.deadline);
        let left = Duration::from_millis(u64::try_from(deadline.since_ms(began.1)).unwrap_or(0));
        let ended = if cancel.is_cancelled() {
            // A cancel that overtook its request, or a deadline that passed on the way: nothing runs.
            RunEnd::Cancelled
        } else if left.is_zero() {
            RunEnd::Expired
        } else {
            tokio::select! {
                biased;
                () = cancel.cancelled() => RunEnd::Cancelled,
                ended = self.candidates(&work, &mut out, &mut chosen) => match ended {
                    Ok(finished) => RunEnd::Finished(finished),
                    Err(failure) => RunEnd::Failed(failure),
                },
                () = tokio::time::sleep(left) => RunEnd::Expired,
            }
        };
        if let RunEnd::Failed(failure) = &ended
            && !out.has_shown()
            && failure.code.lies_with_the_backend()
            && (!failure.begun || next_pool(&work.planning.plan, &self.pool).is_some())
        {
            self.metrics.runs.with_label_values(&["given_back"]).inc();
            return RunResult::GivenBack(failure.clone());
        }
        let mut taken = out.into_parts();
        if taken.seed.is_some() {
            Arc::make_mut(&mut work.planning).plan.decoding.seed = taken.seed;
        }
        let mut ending = ending(ended, &mut taken, chosen.as_ref(), self.clock.since(began.0));
        ending.ttft_ms = taken.first_token_at.map(|first| {
            let ran_ms = millis(first.saturating_duration_since(began.0));
            began.1.since_ms(accepted_at) + ran_ms
        });
        self.count(&ending, &taken, began.0);
        let now = self.clock.now_for(accepted_at);
        RunResult::Ended(Box::new(end(Known::Work(&work), run, ending, now)), taken.stream)
    }

    /// The candidates of this pool in order, the next one only where the one before has shown nothing.
    async fn candidates(
        &self,
        work: &Work,
        out: &mut Emitter,
        chosen: &mut Option<Chosen>,
    ) -> Result<Finished, Failure> {
        let candidates = work
            .planning
            .plan
            .candidates
            .iter()
            .filter(|candidate| candidate.pool == self.pool);
        let message = "the plan has no candidate in this pool";
        let mut last = Failure::before_it_began(Code::ModelNotFound, message);
        // The model that the scheduler counts this run under: the first that is ready here.
        let mut begun_with = None;
        for (nth, candidate) in candidates.enumerate() {
            if nth > 0 {
                tracing::info!(
                    request.id = %work.request.request_id,
                    gen_ai.request.model = work.request.model,
                    gen_ai.response.model = candidate.model,
                    failed = last.message,
                    "going on to another candidate"
                );
                self.metrics.fallbacks.inc();
            }
            let failure = match self.catalogue.ready(&candidate.model) {
                Ok(ready) => {
                    let begun_with = *begun_with.get_or_insert(&candidate.model);
                    let is_other = *begun_with != candidate.model;
                    let _visit = is_other.then(|| self.catalogue.visit(begun_with, &candidate.model));
                    let backend = ready.backend.clone();
                    *chosen = Some(Chosen {
                        name: candidate.model.clone(),
                        backend: ready.backend,
                        price: ready.price,
                    });
                    out.start_over(self.has_others(work, nth));
                    match backend.run(work, out).await {
                        Ok(finished) => return Ok(finished),
                        Err(failure) => failure,
                    }
                }
                Err(failure) => failure,
            };
            if out.has_shown() || !failure.code.lies_with_the_backend() {
                return Err(failure);
            }
            last = if nth == 0 { failure } else { later(last, failure) };
        }
        Err(last)
    }

    /// Whether a candidate behind the `nth` of this pool could be asked, here or in another pool.
    fn has_others(&self, work: &Work, nth: usize) -> bool {
        let plan = &work.planning.plan;
        let mut here = plan
            .candidates
            .iter()
            .filter(|other| other.pool == self.pool)
            .skip(nth + 1);
        here.any(|other| self.catalogue.ready(&other.model).is_ok()) || next_pool(plan, &self.pool).is_some()
    }

    fn count(&self, ending: &Ending, taken: &Taken, began: Instant) {
        self.metrics.runs.with_label_values(&[ending.status.name()]).inc();
        self.metrics
            .run_seconds
            .observe(self.clock.since(began).as_secs_f64());
        if let Some(first) = taken.first_token_at {
            self.metrics
                .first_token_seconds
                .observe(first.saturating_duration_since(began).as_secs_f64());
        }
        self.metrics
            .prompt_tokens
            .inc_by(u64::from(ending.usage.prompt_tokens.0));
        self.metrics
            .completion_tokens
            .inc_by(u64::from(ending.usage.completion_tokens.0));
    }
}

/// What stands of two candidates' failures: that the second is not here says less than why the first failed.
fn later(earlier: Failure, later: Failure) -> Failure {
    let begun = earlier.begun || later.begun;
    if later.code == Code::ModelNotFound {
        return Failure { begun, ..earlier };
    }
    let both_are_away = [&earlier, &later]
        .iter()
        .all(|failure| matches!(failure.code, Code::BackendBusy | Code::BackendUnavailable));
    let retry_after = later
        .retry_after
        .or(earlier.retry_after.filter(|_| both_are_away));
    Failure {
        retry_after,
        begun,
        ..later
    }
}

fn ending(ended: RunEnd, taken: &mut Taken, chosen: Option<&Chosen>, took: Duration) -> Ending {
    let mut ending = match &ended {
        RunEnd::Finished(_) => Ending::of(OutcomeStatus::Completed),
        RunEnd::Failed(failure) => Ending {
            retry_after_ms: failure
                .retry_after
                .map(|wait| i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)),
            ..Ending::because(
                OutcomeStatus::Failed,
                failure.code.name(),
                failure.message.clone(),
            )
        },
        RunEnd::Cancelled => {
            let message = format!("cancelled while it ran; {}", taken.used.in_words());
            Ending::because(OutcomeStatus::Cancelled, "cancelled", message)
        }
        RunEnd::Expired => {
            let message = format!("the deadline passed while it ran; {}", taken.used.in_words());
            Ending::because(OutcomeStatus::Expired, "deadline_exceeded", message)
        }
    };
    let finished = match ended {
        RunEnd::Finished(finished) => Some(finished),
        RunEnd::Cancelled | RunEnd::Failed(_) | RunEnd::Expired => None,
    };
    // What was emitted counts, whatever the end.
    let counted = finished.as_ref().and_then(|finished| finished.usage);
    let counted = counted.unwrap_or(taken.used.usage);
    ending.usage = counted;
    let computed_us = taken.used.computed.as_micros();
    ending.compute_ms = i64::try_from(computed_us.div_ceil(1_000)).unwrap_or(i64::MAX);
    let Some(chosen) = chosen else { return ending };
    ending.backend_latency_ms = Some(millis(took));
    ending.cost_micro_usd = cost(chosen.price, counted, ending.compute_ms);
    if ending.status == OutcomeStatus::Completed || taken.began {
        let transcript = std::mem::take(&mut taken.transcript);
        ending.answer = Some(Arc::new(answer(transcript, finished, chosen)));
    }
    ending
}

/// What was produced; `finished` where it came to its end.
fn answer(transcript: Transcript, finished: Option<Finished>, chosen: &Chosen) -> Answer {
    let (mut choices, embeddings) = transcript.into_parts();
    let reason = finished.as_ref().and_then(|finished| finished.finish_reason);
    if choices.is_empty() && reason.is_some() {
        choices.push(Choice::default());
    }
    for choice in &mut choices {
        choice.finish_reason = choice.finish_reason.or(reason);
    }
    let (usage_details, extra, said_version) = match finished {
        Some(finished) => (finished.usage_details, finished.extra, finished.model_version),
        None => (None, None, None),
    };
    Answer {
        choices,
        embeddings,
        model: chosen.name.clone(),
        model_version: said_version.unwrap_or_else(|| chosen.backend.version().to_owned()),
        usage_details,
        extra,
        content_dropped: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_failures_stands_what_tells_the_client_more() {
        let wait = Some(Duration::from_secs(7));
        let away = |retry_after| Failure {
            retry_after,
            ..Failure::new(Code::BackendUnavailable, "away")
        };
        let missing = Failure::new(Code::ModelNotFound, "not here");
        let broken = Failure::new(Code::BackendError, "broken");
        assert_eq!(later(away(wait), missing), away(wait));
        assert_eq!(later(away(wait), away(None)), away(wait));
        assert_eq!(later(away(wait), broken.clone()), broken);
    }
}
