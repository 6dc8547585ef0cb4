//! The one place where outcomes are made.

use std::sync::Arc;

use relay_schemas::{
    Answer, Choice, Delta, Final, Frame, MicroUsd, Outcome, OutcomeStatus, Planned, Ready, Request,
    RequestId, Run, TenantId, TimestampMs, Timings, Usage, Work,
};

use crate::life::Event;
use crate::transcript::deltas_of;

/// All that is known of a request at the stage that ends it.
#[derive(Debug, Clone, Copy)]
pub enum Known<'a> {
    /// Only the headers could be read.
    Headers(&'a RequestId, &'a TenantId),
    /// It was accepted.
    Request(&'a Arc<Request>),
    /// It was planned.
    Planned(&'a Planned),
    /// It was looked up.
    Ready(&'a Ready),
    /// It was leased.
    Work(&'a Work),
}

/// How it ends. `Ending::of(status)` and then what is special about it.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "documented field by field in outcome.avsc")]
pub struct Ending {
    pub status: OutcomeStatus,
    pub code: Option<String>,
    pub message: Option<String>,
    pub retry_after_ms: Option<i64>,
    pub answer: Option<Arc<Answer>>,
    pub usage: Usage,
    pub cost_micro_usd: MicroUsd,
    pub ttft_ms: Option<i64>,
    pub backend_latency_ms: Option<i64>,
    pub compute_ms: i64,
}

impl Ending {
    /// An ending without an answer.
    pub fn of(status: OutcomeStatus) -> Self {
        Self {
            status,
            code: None,
            message: None,
            retry_after_ms: None,
            answer: None,
            usage: Usage::default(),
            cost_micro_usd: MicroUsd(0),
            ttft_ms: None,
            backend_latency_ms: None,
            compute_ms: 0,
        }
    }

    /// An ending with a reason: `code` for machines, `message` for people.
    pub fn because(status: OutcomeStatus, code: &str, message: impl Into<String>) -> Self {
        Self {
            code: Some(code.to_owned()),
            message: Some(message.into()),
            ..Self::of(status)
        }
    }
}

/// The outcome of a request that ends here.
///
/// # Panics
/// In builds with debug assertions, if `run.service` may not end a request this way from where it stands (see
/// [`crate::life`]): that is a bug of the caller's.
pub fn end(known: Known<'_>, run: Run, ending: Ending, now: TimestampMs) -> Outcome {
    let (request, planning, caching, work) = match known {
        Known::Headers(..) => (None, None, None, None),
        Known::Request(request) => (Some(request), None, None, None),
        Known::Planned(planned) => (Some(&planned.request), Some(&planned.planning), None, None),
        Known::Ready(ready) => (
            Some(&ready.request),
            Some(&ready.planning),
            Some(&ready.caching),
            None,
        ),
        Known::Work(work) => (
            Some(&work.request),
            Some(&work.planning),
            Some(&work.caching),
            Some(work),
        ),
    };
    let (request_id, tenant) = match (known, request) {
        (Known::Headers(request_id, tenant), _) => (request_id.clone(), tenant.clone()),
        (_, Some(request)) => (request.request_id.clone(), request.tenant.clone()),
        (_, None) => unreachable!("every other stage knows the request"),
    };
    let outcome = Outcome {
        request_id,
        tenant,
        status: ending.status,
        code: ending.code,
        message: ending.message,
        retry_after_ms: ending.retry_after_ms,
        run,
        planning: planning.cloned(),
        caching: caching.cloned(),
        queueing: work.map(|work| work.queueing.clone()),
        lease: work.map(|work| work.lease.clone()),
        answer: ending.answer,
        usage: ending.usage,
        cost_micro_usd: ending.cost_micro_usd,
        timings: Timings {
            latency_ms: request.map_or(0, |request| now.since_ms(request.accepted_at)),
            ttft_ms: ending.ttft_ms,
            backend_latency_ms: ending.backend_latency_ms,
            compute_ms: ending.compute_ms,
        },
        request: request.cloned(),
        ended_at: now,
    };
    let ended = Event::end_of(&outcome);
    debug_assert!(ended.is_theirs(), "{ended:?} is not theirs to say");
    outcome
}

/// How it ended, as a client is told, and as the last frame of the run says.
pub fn final_of(outcome: &Outcome) -> Final {
    let answer = outcome.answer.as_ref();
    Final {
        status: outcome.status,
        code: outcome.code.clone(),
        message: outcome.message.clone(),
        model: answer.map(|answer| answer.model.clone()).unwrap_or_default(),
        usage: outcome.usage,
        usage_details: answer.and_then(|answer| answer.usage_details.clone()),
        extra: answer.and_then(|answer| answer.extra.clone()),
        retry_after_ms: outcome.retry_after_ms,
    }
}

/// The last frame of `outcome`'s run, whose earlier frames went up to `seq - 1`. With `with_content`, where the client has
/// seen nothing of it, it brings all of the answer; else only why each choice ended.
pub fn last_frame(outcome: &Outcome, seq: u32, with_content: bool) -> Frame {
    let end_of = |choice: &Choice| Some(Delta::finish(choice.index, choice.finish_reason?));
    let (deltas, embeddings) = match &outcome.answer {
        Some(answer) if with_content => (deltas_of(&answer.choices), answer.embeddings.clone()),
        Some(answer) => (answer.choices.iter().filter_map(end_of).collect(), Vec::new()),
        None => (Vec::new(), Vec::new()),
    };
    Frame {
        request_id: outcome.request_id.clone(),
        run: outcome.run.clone(),
        seq,
        deltas,
        embeddings,
        tokens: outcome.usage.completion_tokens,
        end: Some(final_of(outcome)),
    }
}

#[cfg(test)]
mod tests {
    use relay_schemas::{Service, samples};

    use super::*;
    use crate::transcript::Transcript;

    fn of(service: Service) -> Run {
        Run {
            service,
            ..samples::run()
        }
    }

    #[test]
    fn an_outcome_holds_what_was_known_and_stands_where_its_writer_had_the_request() {
        use crate::life::State::{Accepted, Leased, Planned, Queued};
        use {Known as K, OutcomeStatus as O, Service as S};
        let (request, planned) = (Arc::new(samples::request()), samples::planned());
        let (ready, work) = (samples::ready(), samples::work());
        // What its writer has just made of it is not handed on.
        let cases = [
            (K::Request(&request), S::Planner, O::Expired, Accepted, 1),
            (K::Planned(&planned), S::Planner, O::Failed, Accepted, 2),
            (K::Planned(&planned), S::CacheService, O::Expired, Planned, 2),
            (K::Ready(&ready), S::CacheService, O::Cached, Planned, 3),
            (K::Ready(&ready), S::Scheduler, O::Rejected, Queued, 3),
            (K::Work(&work), S::Workers, O::Completed, Leased(1), 5),
        ];
        let now = request.accepted_at.plus_ms(30);
        let ended = |known, service, status| end(known, of(service), Ending::of(status), now);
        for (known, by, status, from, parts) in cases {
            let outcome = ended(known, by, status);
            assert_eq!(known_to(&outcome), parts, "{known:?}");
            assert_eq!(outcome.request_id, request.request_id);
            assert_eq!(outcome.tenant, request.tenant);
            assert_eq!(outcome.timings.latency_ms, 30);
            let from = Some(from);
            assert_eq!(Event::end_of(&outcome), Event::End { by, status, from });
        }
        let headers = K::Headers(&request.request_id, &request.tenant);
        let damaged = ended(headers, S::Runner, O::Failed);
        assert_eq!(known_to(&damaged), 0);
        assert_eq!(damaged.timings.latency_ms, 0);
        let end = Event::End {
            by: S::Runner,
            status: O::Failed,
            from: None,
        };
        assert_eq!(Event::end_of(&damaged), end);
    }

    /// How many of the stages before it an outcome tells of.
    fn known_to(outcome: &Outcome) -> usize {
        let stages = [
            outcome.request.is_some(),
            outcome.planning.is_some(),
            outcome.caching.is_some(),
            outcome.queueing.is_some(),
            outcome.lease.is_some(),
        ];
        stages.into_iter().filter(|is_told| *is_told).count()
    }

    #[test]
    fn a_reason_is_told_to_machines_and_to_people() {
        let ending = Ending::because(OutcomeStatus::Failed, "worker_lost", "the worker is gone");
        let outcome = end(
            Known::Work(&samples::work()),
            samples::run(),
            ending,
            TimestampMs(1),
        );
        let told = final_of(&outcome);
        assert_eq!(told.code.as_deref(), Some("worker_lost"));
        assert_eq!(told.message.as_deref(), Some("the worker is gone"));
    }

    #[test]
    fn a_last_frame_brings_the_whole_answer_or_only_why_each_choice_ended() {
        let answer = samples::rich_answer();
        let outcome = Outcome {
            answer: Some(Arc::new(answer.clone())),
            ..samples::outcome()
        };
        let whole = last_frame(&outcome, 7, true);
        assert_eq!((whole.seq, &whole.end), (7, &Some(final_of(&outcome))));
        let mut told = Transcript::default();
        told.apply(&whole);
        assert_eq!(told, Transcript::of(&answer));

        let bare = last_frame(&outcome, 7, false);
        let ends = answer.choices.iter().map(|choice| {
            let reason = choice.finish_reason.expect("each has ended");
            Delta::finish(choice.index, reason)
        });
        assert_eq!(bare.deltas, ends.collect::<Vec<_>>());
        assert!(bare.embeddings.is_empty());
    }

    #[test]
    #[should_panic(expected = "is not theirs to say")]
    fn an_end_by_someone_who_does_not_have_the_request_is_a_bug() {
        let request = Arc::new(samples::request());
        let completed = Ending::of(OutcomeStatus::Completed);
        end(
            Known::Request(&request),
            samples::run(),
            completed,
            TimestampMs(1),
        );
    }
}
