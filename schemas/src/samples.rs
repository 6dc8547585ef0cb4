//! Sensible values of every record that a request leaves behind, for tests to change: a new field is added here and nowhere
//! else. Behind the feature `samples`.

mod next;

use crate::{
    Answer, CacheFlags, CacheStatus, Caching, Candidate, Choice, Class, Decoding, Delta, Embedding, Final,
    FinishReason, Frame, Lane, Lease, Message, MicroUsd, Operation, Outcome, OutcomeStatus, Plan, Planned,
    Planning, Queueing, Ready, Request, Run, Service, TimestampMs, Timings, TokenCount, ToolCall, Usage,
    Verifier, Work,
};

pub use next::{NextRequest, PRIORITY, next_version};

/// When [`request`] was accepted.
pub const ACCEPTED_AT: TimestampMs = TimestampMs(1_000_000);

/// A chat that waits for its answer as a whole, for a minute.
pub fn request() -> Request {
    Request {
        request_id: "request-1".into(),
        tenant: "acme".into(),
        class: Class::Interactive,
        model: "tiny".to_owned(),
        operation: Operation::Chat,
        body: r#"{"model":"tiny","messages":[{"role":"user","content":"hi"}]}"#.to_owned(),
        request_hash: "a".repeat(64),
        stream: false,
        include_usage: false,
        prompt_tokens: TokenCount(3),
        requested_tokens: None,
        temperature: None,
        accepted_at: ACCEPTED_AT,
        deadline: ACCEPTED_AT.plus_ms(60_000),
        reply_to: None,
        idempotency_key: None,
        batch: None,
    }
}

/// A plan for `tiny` in the pool `default`: greedy, ten tokens, no cache.
pub fn plan() -> Plan {
    Plan {
        policy_version: "policy@1".to_owned(),
        tier: "standard".to_owned(),
        candidates: vec![candidate("tiny")],
        decoding: decoding(),
        lane_threshold_tokens: TokenCount(64),
        predicted_tokens: TokenCount(10),
        slo_ttft_ms: 1_000,
        deadline: ACCEPTED_AT.plus_ms(60_000),
        cache: CacheFlags {
            exact: false,
            semantic: false,
            ttl_ms: 60_000,
        },
        verifier: Verifier::Off,
        signature: "signature".to_owned(),
        plan_hash: "plan".to_owned(),
    }
}

/// `model` in the pool `default`.
pub fn candidate(model: &str) -> Candidate {
    Candidate {
        pool: "default".to_owned(),
        model: model.to_owned(),
    }
}

/// Greedy, ten tokens.
pub fn decoding() -> Decoding {
    Decoding {
        profile: "chat".to_owned(),
        max_tokens: TokenCount(10),
        temperature: 0.0,
        top_p: None,
        top_k: None,
        seed: None,
        stop: Vec::new(),
        max_tokens_unset: false,
        temperature_unset: false,
    }
}

/// [`plan`], without a trace of why.
pub fn planning() -> Planning {
    Planning {
        plan: plan(),
        rules: Vec::new(),
        adjustments: Vec::new(),
        handovers: Vec::new(),
        planned_at: ACCEPTED_AT.plus_ms(1),
    }
}

/// [`request`], planned.
pub fn planned() -> Planned {
    Planned {
        request: request().into(),
        planning: planning().into(),
    }
}

/// A lookup that found nothing.
pub fn caching() -> Caching {
    Caching {
        key: "key".to_owned(),
        exact: CacheStatus::Miss,
        provenance: None,
        looked_up_at: ACCEPTED_AT.plus_ms(2),
    }
}

/// [`request`], looked up.
pub fn ready() -> Ready {
    Ready {
        request: request().into(),
        planning: planning().into(),
        caching: caching().into(),
    }
}

/// Three milliseconds in the short lane of the pool `default`.
pub fn queueing() -> Queueing {
    Queueing {
        pool: "default".to_owned(),
        lane: Lane::Short,
        queued_at: ACCEPTED_AT.plus_ms(3),
        dispatched_at: ACCEPTED_AT.plus_ms(6),
        queue_wait_ms: 3,
        waiting_ahead: 0,
    }
}

/// The first attempt, by `worker-1`.
pub fn lease() -> Lease {
    Lease {
        worker: "worker-1".into(),
        worker_epoch: 1,
        attempt: 1,
        scheduler_epoch: 1,
        granted_at: ACCEPTED_AT.plus_ms(6),
    }
}

/// [`request`], leased.
pub fn work() -> Work {
    Work {
        request: request().into(),
        planning: planning().into(),
        caching: caching().into(),
        queueing: queueing(),
        lease: lease(),
    }
}

/// The run of [`lease`].
pub fn run() -> Run {
    Run {
        service: Service::Workers,
        instance: "worker-1".into(),
        epoch: 1,
        attempt: 1,
    }
}

/// One whole choice that says `text`.
pub fn answer(text: &str) -> Answer {
    let message = Message {
        text: (!text.is_empty()).then(|| text.to_owned()),
        ..Message::default()
    };
    Answer {
        choices: vec![Choice {
            message,
            finish_reason: Some(FinishReason::Stop),
            ..Choice::default()
        }],
        model: "tiny".to_owned(),
        model_version: "v1".to_owned(),
        ..Answer::default()
    }
}

/// An answer that says everything an answer can: calls of tools, text, a refusal, vectors, with numbers that no float holds.
pub fn rich_answer() -> Answer {
    let text = |text: &str| Some(text.to_owned());
    let call = |id: &str, arguments: &str, extra: Option<String>| ToolCall {
        id: id.to_owned(),
        kind: "function".to_owned(),
        name: "weather".to_owned(),
        arguments: arguments.to_owned(),
        extra,
    };
    let calls = Choice {
        message: Message {
            reasoning: text("Two places, so two calls."),
            tool_calls: vec![
                call("call_1", r#"{"city":"Paris"}"#, text(r#"{"signature":"abc"}"#)),
                call("call_2", r#"{"city":"Zürich"}"#, None),
            ],
            logprobs: vec![r#"{"token":"a","logprob":-0.10}"#.to_owned()],
            extra: text(r#"{"annotations":[9007199254740993]}"#),
            ..Message::default()
        },
        finish_reason: Some(FinishReason::ToolCalls),
        extra: text(r#"{"matched_stop":1e400}"#),
        ..Choice::default()
    };
    let says = Choice {
        index: 1,
        message: Message {
            text: text("It is <b>fine</b>."),
            logprobs: ["It", " is"]
                .map(|token| format!(r#"{{"token":"{token}","logprob":-1e-9,"top_logprobs":[]}}"#))
                .to_vec(),
            ..Message::default()
        },
        finish_reason: Some(FinishReason::Stop),
        ..Choice::default()
    };
    let refuses = Choice {
        index: 2,
        message: Message {
            refusal: text("I cannot say."),
            refusal_logprobs: vec![r#"{"token":"I","logprob":0}"#.to_owned()],
            ..Message::default()
        },
        finish_reason: Some(FinishReason::Stop),
        ..Choice::default()
    };
    Answer {
        choices: vec![calls, says, refuses],
        embeddings: vec![Embedding {
            index: 0,
            values: vec![1.0 / 3.0, -0.0, f32::MIN_POSITIVE],
        }],
        usage_details: text(r#"{"prompt_tokens_details":{"cached_tokens":9007199254740993}}"#),
        extra: text(r#"{"system_fingerprint":"fp_1"}"#),
        ..answer("")
    }
}

/// An answer whose content was too large for its record.
pub fn dropped_answer() -> Answer {
    let mut answer = answer("");
    answer.drop_content();
    answer
}

/// Three tokens in, two out.
pub fn usage() -> Usage {
    Usage {
        prompt_tokens: TokenCount(3),
        completion_tokens: TokenCount(2),
    }
}

/// [`work`], completed with [`answer`].
pub fn outcome() -> Outcome {
    let Work {
        request,
        planning,
        caching,
        queueing,
        lease,
    } = work();
    Outcome {
        request_id: request.request_id.clone(),
        tenant: request.tenant.clone(),
        status: OutcomeStatus::Completed,
        code: None,
        message: None,
        retry_after_ms: None,
        run: run(),
        request: Some(request),
        planning: Some(planning),
        caching: Some(caching),
        queueing: Some(queueing),
        lease: Some(lease),
        answer: Some(answer("hello").into()),
        usage: usage(),
        cost_micro_usd: MicroUsd(7),
        timings: Timings::default(),
        ended_at: ACCEPTED_AT.plus_ms(9),
    }
}

/// A frame of [`run`] that says `text`, without an end.
pub fn frame(seq: u32, text: &str) -> Frame {
    Frame {
        request_id: "request-1".into(),
        run: run(),
        seq,
        deltas: deltas(text),
        embeddings: Vec::new(),
        tokens: TokenCount(seq),
        end: None,
    }
}

/// The end of a run that completed.
pub fn last() -> Final {
    Final {
        status: OutcomeStatus::Completed,
        code: None,
        message: None,
        model: "tiny".to_owned(),
        usage: usage(),
        usage_details: None,
        extra: None,
        retry_after_ms: None,
    }
}

/// What says `text` in the first choice; nothing where there is none.
pub fn deltas(text: &str) -> Vec<Delta> {
    let delta = Delta::text(text);
    if delta.is_empty() { Vec::new() } else { vec![delta] }
}
