//! The whole service on the embedded bus: leased work in, outcomes and frames out.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use relay_bus::testing::{buried, with_damaged};
use relay_bus::{EmbeddedBus, EmbeddedOptions};
use relay_clock::Clock;
use relay_control::{ask, send, subjects};
use relay_lifecycle::Transcript;
use relay_runner::Runtime;
use relay_schemas::{
    Candidate, Delta, FinishReason, Frame, Lane, MicroUsd, ModelState, OutcomeStatus, ReplayAnswer,
    ReplayQuery, Returned, Revoked, TokenCount, Work, encode,
};
use relay_workers::testing::mock::{Mock, Settings};
use relay_workers::testing::{House, PATIENCE};

async fn mock(settings: Settings) -> Mock {
    Mock::start(0, settings).await.unwrap()
}

/// A models file with `mock` behind `url`.
fn models(url: &str) -> String {
    format!(
        "models:\n  mock:\n    backend: openai\n    base_url: {url}/v1\n    upstream_model: upstream\n    \
         price: {{prompt: 1000000, completion: 2000000}}\n"
    )
}

/// What frames say together.
fn said(frames: &[Frame]) -> Transcript {
    let mut transcript = Transcript::default();
    for frame in frames {
        transcript.apply(frame);
    }
    transcript
}

#[tokio::test]
async fn a_request_that_is_not_streamed_becomes_an_outcome_and_then_one_frame() {
    let mock = mock(Settings {
        tokens: 4,
        ..Settings::default()
    })
    .await;
    let mut house = House::start(&models(&mock.url()), |_| {}).await.unwrap();
    let mut work = house.work("r-1", "mock", "alpha beta");
    let mut frames = house.listen(&mut work).await.unwrap();
    house.dispatch(&work).await.unwrap();

    let frames = frames.all().await.unwrap();
    let outcome = house.outcome().await.unwrap();
    assert_eq!(frames.len(), 1);
    assert_eq!(
        (frames[0].seq, said(&frames).first_text()),
        (0, "alpha beta alpha beta")
    );
    let end = frames[0].end.clone().unwrap();
    assert_eq!(end.status, OutcomeStatus::Completed);

    let answer = outcome.answer.unwrap();
    assert_eq!(
        (answer.first_text(), answer.model.as_str()),
        ("alpha beta alpha beta", "mock")
    );
    assert_eq!(answer.choices[0].finish_reason, Some(FinishReason::Stop));
    assert_eq!(said(&frames).choices(), answer.choices);
    assert_eq!(answer.model_version, "upstream");
    assert_eq!(outcome.run, frames[0].run);
    assert_eq!(
        (outcome.usage.prompt_tokens, outcome.usage.completion_tokens),
        (TokenCount(2), TokenCount(4))
    );
    assert_eq!(outcome.cost_micro_usd, MicroUsd(2 + 8));
    assert_eq!(outcome.lease.unwrap().attempt, 1);
    assert!(outcome.timings.backend_latency_ms.is_some());
    assert_eq!(outcome.timings.ttft_ms, None, "it came in one piece");
    house.status(|status| status.in_flight.is_empty()).await.unwrap();
}

/// By reading: after a stall a worker ran each copy of a request that it had been leased meanwhile, and paid for it.
#[tokio::test]
async fn an_attempt_that_is_over_when_it_is_read_is_not_run_and_its_scheduler_is_told() {
    let mock = mock(Settings {
        tokens: 10,
        token: Duration::from_millis(50),
        ..Settings::default()
    })
    .await;
    let mut house = House::start(&models(&mock.url()), |_| {}).await.unwrap();
    let subject = subjects::revoked(&"w".into(), house.epoch);
    // The word of it may come behind the work that it means; then that runs.
    let mut run = 0;
    let returned = loop {
        let id = format!("r-{run}");
        let work = house.work(&id, "mock", "alpha");
        let revoked = Revoked {
            request_id: id.as_str().into(),
            attempt: 1,
            scheduler_epoch: work.lease.scheduler_epoch,
        };
        send(&*house.control, &subject, revoked).await.unwrap();
        house.dispatch(&work).await.unwrap();
        let status = house
            .status(|status| !status.returned.is_empty() || !status.in_flight.is_empty())
            .await
            .unwrap();
        if let Some(returned) = status.returned.first() {
            break returned.clone();
        }
        run += 1;
        house.outcome().await.unwrap();
        house.status(|status| status.in_flight.is_empty()).await.unwrap();
    };
    assert_eq!(
        (
            returned.request_id.as_str(),
            returned.code.as_str(),
            returned.begun
        ),
        (format!("r-{run}").as_str(), Returned::PASSED_OVER, false)
    );
    assert_eq!(mock.requests(), run);
}

#[tokio::test]
async fn a_stream_leaves_piece_by_piece_and_missed_frames_are_given_again() {
    let token = Duration::from_millis(20);
    let mock = mock(Settings {
        tokens: 3,
        token,
        ..Settings::default()
    })
    .await;
    let mut house = House::start(&models(&mock.url()), |_| {}).await.unwrap();
    let mut work = house.work("r-1", "mock", "a b c");
    Arc::make_mut(&mut work.request).stream = true;
    let mut listener = house.listen(&mut work).await.unwrap();
    house.dispatch(&work).await.unwrap();

    let frames = listener.all().await.unwrap();
    assert_eq!(said(&frames).first_text(), "a b c");
    assert!(
        frames.len() >= 3,
        "tokens that come apart leave apart: {}",
        frames.len()
    );
    assert!(frames.iter().zip(0..).all(|(frame, seq)| frame.seq == seq));
    assert!(frames.iter().rev().skip(1).all(|frame| frame.end.is_none()));
    let last = frames.last().unwrap();
    assert_eq!(
        last.deltas,
        [Delta::finish(0, FinishReason::Stop)],
        "the text has left already, the reason not before the record"
    );
    let answer = house.outcome().await.unwrap().answer.unwrap();
    assert_eq!(answer.first_text(), "a b c");

    let query = |run| ReplayQuery {
        request_id: "r-1".into(),
        run,
        from_seq: 1,
    };
    let subject = subjects::replay(&"w".into(), house.epoch);
    let again: ReplayAnswer = ask(&*house.control, &subject, &query(last.run.clone()), PATIENCE)
        .await
        .unwrap();
    assert_eq!(again.frames, frames[1..]);
    let mut other = last.run.clone();
    other.attempt = 9;
    let none: ReplayAnswer = ask(&*house.control, &subject, &query(other), PATIENCE)
        .await
        .unwrap();
    assert_eq!(none.frames, []);
}

/// Before, each chunk was a wake-up, a frame and a message of its own.
#[tokio::test]
async fn a_burst_of_chunks_leaves_in_few_frames_in_which_each_chunk_is_a_piece_of_its_own() {
    let mock = mock(Settings {
        tokens: 40,
        ..Settings::default()
    })
    .await;
    let mut house = House::start(&models(&mock.url()), |_| {}).await.unwrap();
    let mut work = house.work("r-1", "mock", "a b");
    Arc::make_mut(&mut work.request).stream = true;
    let mut listener = house.listen(&mut work).await.unwrap();
    house.dispatch(&work).await.unwrap();
    let frames = listener.all().await.unwrap();
    // How many come at once is a matter of time.
    assert!(frames.len() < 40, "{} frames", frames.len());
    assert!(frames.iter().zip(0..).all(|(frame, seq)| frame.seq == seq));
    let pieces: Vec<&str> = frames
        .iter()
        .flat_map(|frame| &frame.deltas)
        .map(|delta| delta.text.as_str())
        .filter(|text| !text.is_empty())
        .collect();
    assert_eq!((pieces.len(), &pieces[..3]), (40, &["a", " b", " a"][..]));
    let outcome = house.outcome().await.unwrap();
    assert_eq!(outcome.usage.completion_tokens, TokenCount(40));
    assert_eq!(outcome.answer.unwrap().first_text(), pieces.concat());
}

#[tokio::test]
async fn work_that_is_not_ours_is_passed_over_and_a_repeated_record_runs_once() {
    let mock = mock(Settings::default()).await;
    let mut house = House::start(&models(&mock.url()), |_| {}).await.unwrap();
    let template = house.work("", "mock", "x");
    let change = |id: &str, change: fn(&mut Work)| {
        let mut work = template.clone();
        Arc::make_mut(&mut work.request).request_id = id.into();
        change(&mut work);
        work
    };
    let foreign = [
        change("other-instance", |work| work.lease.worker = "v".into()),
        change("other-epoch", |work| work.lease.worker_epoch -= 1),
    ];
    for work in &foreign {
        house.dispatch(work).await.unwrap();
    }
    let ours = change("ours", |_| {});
    house.dispatch(&ours).await.unwrap();
    assert_eq!(house.outcome().await.unwrap().request_id, "ours".into());
    house.dispatch(&ours).await.unwrap();
    house
        .dispatch(&change("old-scheduler", |work| work.lease.scheduler_epoch = 2))
        .await
        .unwrap();
    house.dispatch(&change("last", |_| {})).await.unwrap();
    assert_eq!(house.outcome().await.unwrap().request_id, "last".into());
    assert_eq!(mock.requests(), 2);
}

#[tokio::test]
async fn a_cancel_ends_a_run_with_what_it_has_and_one_that_comes_first_still_holds() {
    let token = Duration::from_millis(10);
    let mock = mock(Settings {
        tokens: 1_000,
        token,
        ..Settings::default()
    })
    .await;
    let mut house = House::start(&models(&mock.url()), |_| {}).await.unwrap();
    let mut work = house.work("running", "mock", "word");
    Arc::make_mut(&mut work.request).stream = true;
    let mut frames = house.listen(&mut work).await.unwrap();
    house.dispatch(&work).await.unwrap();
    frames.next().await.unwrap();
    let status = house
        .status(|status| status.in_flight.iter().any(|held| held.tokens > TokenCount(1)))
        .await
        .unwrap();
    assert_eq!((status.in_flight.len(), status.in_flight[0].attempt), (1, 1));
    house.cancel("running").await.unwrap();

    let end = frames.all().await.unwrap().pop().unwrap().end.unwrap();
    assert_eq!(end.status, OutcomeStatus::Cancelled);
    let outcome = house.outcome().await.unwrap();
    assert_eq!(
        (outcome.status, outcome.code.as_deref()),
        (OutcomeStatus::Cancelled, Some("cancelled"))
    );
    let answer = outcome.answer.unwrap();
    assert!(
        answer.first_text().starts_with("word word"),
        "{}",
        answer.first_text()
    );
    assert_eq!(answer.choices[0].finish_reason, None);
    assert_eq!(
        outcome.usage.completion_tokens.0 as usize,
        answer.first_text().split(' ').count()
    );
    assert!(outcome.cost_micro_usd > MicroUsd(0), "usage so far counts");
    assert_eq!(mock.finished(), 0);

    // The seam keeps order: once the second cancel has ended its run, the first has been heard.
    house
        .dispatch(&house.work("witness", "mock", "word"))
        .await
        .unwrap();
    // Not by a status: one of the run before may still wait to be read.
    relay_workers::testing::until(|| mock.requests() == 2).await;
    house.cancel("not yet here").await.unwrap();
    house.cancel("witness").await.unwrap();
    assert_eq!(house.outcome().await.unwrap().request_id, "witness".into());
    house
        .dispatch(&house.work("not yet here", "mock", "word"))
        .await
        .unwrap();
    let outcome = house.outcome().await.unwrap();
    assert_eq!((outcome.status, outcome.answer), (OutcomeStatus::Cancelled, None));
    assert_eq!(mock.requests(), 2, "it never ran");
}

#[tokio::test]
async fn a_deadline_ends_a_run_as_expired() {
    let mock = mock(Settings {
        first: Duration::from_mins(1),
        ..Settings::default()
    })
    .await;
    let mut house = House::start(&models(&mock.url()), |_| {}).await.unwrap();
    let mut work = house.work("soon", "mock", "x");
    Arc::make_mut(&mut work.planning).plan.deadline = relay_clock::Clock::system().now().plus_ms(2_000);
    house.dispatch(&work).await.unwrap();
    let outcome = house.outcome().await.unwrap();
    assert_eq!(
        (outcome.status, outcome.code.as_deref()),
        (OutcomeStatus::Expired, Some("deadline_exceeded"))
    );
    Arc::make_mut(&mut work.request).request_id = "past".into();
    house.dispatch(&work).await.unwrap();
    assert_eq!(house.outcome().await.unwrap().status, OutcomeStatus::Expired);
    assert_eq!(mock.requests(), 1);
}

#[tokio::test]
async fn a_wall_clock_that_is_set_while_work_waits_expires_nothing_that_has_time_left() {
    const HOUR: i64 = 3_600_000;
    let mock = mock(Settings::default()).await;
    for step_ms in [HOUR, -HOUR] {
        let folder = tempfile::tempdir().unwrap();
        let (manifest, options) = (House::manifest().unwrap(), EmbeddedOptions::default());
        let (clock, hands) = Clock::manual(Clock::system().now());
        let bus = EmbeddedBus::open(folder.path().join("log"), &manifest, options, &Clock::system());
        let runtime = Runtime {
            clock: clock.clone(),
            ..Runtime::new(Arc::new(bus.unwrap()))
        };
        let models = models(&mock.url());
        let mut house = House::start_in(folder, runtime, &models, |_| {}).await.unwrap();
        let mut work = house.work("waits", "mock", "x");
        let deadline = clock.now().plus_ms(60_000);
        let request = Arc::make_mut(&mut work.request);
        (request.accepted_at, request.deadline) = (clock.now(), deadline);
        request.stream = true;
        Arc::make_mut(&mut work.planning).plan.deadline = deadline;
        hands.advance(Duration::from_secs(50));
        hands.step_to(clock.now().plus_ms(step_ms));
        house.dispatch(&work).await.unwrap();
        let outcome = house.outcome().await.unwrap();
        assert_eq!(outcome.status, OutcomeStatus::Completed, "{step_ms}");
        assert_eq!(
            (outcome.timings.latency_ms, outcome.timings.ttft_ms),
            (50_000, Some(50_000))
        );
        Arc::make_mut(&mut work.request).request_id = "late".into();
        hands.advance(Duration::from_secs(10));
        house.dispatch(&work).await.unwrap();
        assert_eq!(
            house.outcome().await.unwrap().status,
            OutcomeStatus::Expired,
            "{step_ms}"
        );
    }
}

#[tokio::test]
async fn the_next_candidate_of_this_pool_steps_in_until_a_client_has_seen_something() {
    let broken = mock(Settings {
        fail_rate: 1.0,
        ..Settings::default()
    })
    .await;
    let sound = mock(Settings {
        tokens: 2,
        ..Settings::default()
    })
    .await;
    let models = format!(
        "models:\n  broken: {{backend: openai, base_url: \"{}/v1\", upstream_model: u, retries: 0}}\n  \
         sound: {{backend: openai, base_url: \"{}/v1\", upstream_model: u, retries: 0}}\n",
        broken.url(),
        sound.url()
    );
    let mut house = House::start(&models, |_| {}).await.unwrap();
    let candidate = |pool: &str, model: &str| Candidate {
        pool: pool.to_owned(),
        model: model.to_owned(),
    };
    let mut work = house.work("falls-back", "broken", "x");
    Arc::make_mut(&mut work.planning).plan.candidates = vec![
        candidate("default", "broken"),
        candidate("elsewhere", "x"),
        candidate("default", "sound"),
    ];
    house.dispatch(&work).await.unwrap();
    let outcome = house.outcome().await.unwrap();
    assert_eq!(
        (outcome.status, outcome.answer.unwrap().model.as_str()),
        (OutcomeStatus::Completed, "sound")
    );
    assert_eq!((broken.requests(), sound.requests()), (1, 1));

    // Two tokens are streamed before the connection breaks off: nobody may start over.
    let mut work = house.work("breaks-off", "sound", "break-off");
    Arc::make_mut(&mut work.request).stream = true;
    let _frames = house.listen(&mut work).await.unwrap();
    Arc::make_mut(&mut work.planning).plan.candidates =
        vec![candidate("default", "sound"), candidate("default", "broken")];
    house.dispatch(&work).await.unwrap();
    let outcome = house.outcome().await.unwrap();
    assert_eq!(
        (outcome.status, outcome.code.as_deref()),
        (OutcomeStatus::Failed, Some("backend_error"))
    );
    assert_eq!(outcome.answer.unwrap().first_text(), "break-off break-off");
    assert_eq!(broken.requests(), 1);
}

#[tokio::test]
async fn what_goes_wrong_upstream_becomes_a_code_and_says_no_secret() {
    // The key is a variable that every process has.
    let mock = mock(Settings::default()).await;
    let key = std::env::var("PATH").unwrap();
    let models = format!(
        "models:\n  mock: {{backend: openai, base_url: \"{}/v1\", upstream_model: u, retries: 1, api_key_env: PATH}}\n  \
         gone: {{backend: openai, base_url: \"http://127.0.0.1:1/v1\", upstream_model: u, retries: 1}}\n",
        mock.url()
    );
    let mut house = House::start(&models, |_| {}).await.unwrap();
    let cases = [
        ("mock", "status-400", "invalid_request", 1),
        ("mock", "status-302", "backend_error", 1),
        ("mock", "status-401", "backend_error", 1),
        ("mock", "status-429", "backend_busy", 2),
        ("mock", "status-500", "backend_error", 2),
        ("gone", "x", "backend_unavailable", 0),
        ("unknown", "x", "model_not_found", 0),
    ];
    for (model, content, expected, requests) in cases {
        let before = mock.requests();
        let id = format!("{model}-{content}");
        house.dispatch(&house.work(&id, model, content)).await.unwrap();
        let (code, message) = if model == "mock" {
            let outcome = house.outcome().await.unwrap();
            assert_eq!(outcome.status, OutcomeStatus::Failed);
            (outcome.code.unwrap(), outcome.message.unwrap())
        } else {
            // Nothing was asked of any model: another worker may do better.
            let returned = house.returned(&id).await.unwrap();
            assert!(!returned.begun);
            (returned.code, returned.message)
        };
        assert_eq!(code, expected, "{content}");
        for secret in [key.as_str(), "127.0.0.1"] {
            assert!(!message.contains(secret), "{message}");
        }
        let told = message.contains("secret as ordered");
        assert_eq!(
            told,
            content == "status-400",
            "only what is about the request: {message}"
        );
        assert_eq!(mock.requests() - before, requests, "{content}");
        assert_eq!(mock.authorization(), format!("Bearer {key}"));
    }
}

#[tokio::test]
async fn connections_are_used_again() {
    let mock = mock(Settings::default()).await;
    let mut house = House::start(&models(&mock.url()), |_| {}).await.unwrap();
    for at in 0..20 {
        house
            .dispatch(&house.work(&format!("r-{at}"), "mock", "x"))
            .await
            .unwrap();
        house.outcome().await.unwrap();
    }
    assert_eq!(mock.requests(), 20);
    assert!(
        mock.connections() <= 2,
        "{} connections for 20 requests in a row",
        mock.connections()
    );
}

#[tokio::test]
async fn a_drain_is_told_finishes_what_runs_and_ends_the_service() {
    let token = Duration::from_millis(20);
    let mock = mock(Settings {
        tokens: 20,
        token,
        ..Settings::default()
    })
    .await;
    let mut house = House::start(&models(&mock.url()), |_| {}).await.unwrap();
    let mut work = house.work("r-1", "mock", "x");
    work.queueing.lane = Lane::Long;
    house.dispatch(&work).await.unwrap();
    house
        .status(|status| status.in_flight.len() == 1 && !status.draining)
        .await
        .unwrap();
    house.runtime.shutdown.drain();
    let status = house.status(|status| status.draining).await.unwrap();
    assert_eq!(status.in_flight.len(), 1);
    assert_eq!(house.outcome().await.unwrap().status, OutcomeStatus::Completed);
    tokio::time::timeout(PATIENCE, &mut house.worker)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn an_answer_is_cut_at_its_largest_size() {
    let mock = mock(Settings {
        tokens: 500,
        ..Settings::default()
    })
    .await;
    let mut house = House::start(&models(&mock.url()), |config| {
        config.max_answer = relay_settings::ByteSize::b(100);
    })
    .await
    .unwrap();
    house.dispatch(&house.work("r-1", "mock", "words")).await.unwrap();
    let answer = house.outcome().await.unwrap().answer.unwrap();
    assert_eq!(
        (answer.first_text().len(), answer.choices[0].finish_reason),
        (100, Some(FinishReason::Length))
    );
}

#[tokio::test]
async fn a_model_whose_key_is_missing_fails_alone_and_the_worker_is_ready() {
    let mock = mock(Settings::default()).await;
    let keyless = "  keyless: {backend: openai, base_url: \"http://127.0.0.1:1/v1\", upstream_model: u, api_key_env: RELAY_NO_SUCH_KEY}\n";
    let mut house = House::start(&(models(&mock.url()) + keyless), |_| {})
        .await
        .unwrap();
    house
        .dispatch(&house.work("keyless", "keyless", "x"))
        .await
        .unwrap();
    let returned = house.returned("keyless").await.unwrap();
    assert_eq!(
        (returned.code.as_str(), returned.begun),
        ("backend_unavailable", false)
    );
    house.dispatch(&house.work("sound", "mock", "x")).await.unwrap();
    assert_eq!(house.outcome().await.unwrap().status, OutcomeStatus::Completed);
    let health = &house.runtime.health;
    assert_eq!(health.all()["models"], None);
    assert_eq!(
        health.told()["models"],
        "degraded: failed keyless: the environment variable RELAY_NO_SUCH_KEY is not set"
    );
}

#[tokio::test]
async fn a_model_that_cannot_be_loaded_is_in_the_health_report_and_gives_its_requests_back_with_a_clear_reason()
 {
    let mut house = House::start("models:\n  none: {backend: onnx, path: nowhere}\n", |_| {})
        .await
        .unwrap();
    house
        .status(|status| status.capacity[0].state == ModelState::Failed)
        .await
        .unwrap();
    house.dispatch(&house.work("r-1", "none", "x")).await.unwrap();
    let returned = house.returned("r-1").await.unwrap();
    assert_eq!(
        (returned.code.as_str(), returned.begun),
        ("backend_unavailable", false)
    );
    let message = returned.message;
    assert!(!message.contains('/'), "clients are told no paths: {message}");
    let health = house.runtime.health.all();
    assert!(
        health["models"].as_ref().unwrap().starts_with("failed none: "),
        "{health:?}"
    );
}

#[tokio::test]
async fn the_committed_model_streams_through_the_service() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/relay-chat");
    let models = format!("models:\n  relay-chat: {{backend: onnx, path: \"{folder}\", threads: 1}}\n");
    let library = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../.relay/tools/onnxruntime/libonnxruntime.so"
    );
    let mut house = House::start(&models, |config| config.onnxruntime = Some(library.into()))
        .await
        .unwrap();
    house
        .status(|status| status.models == ["relay-chat"])
        .await
        .unwrap();
    let mut work = house.work("r-1", "relay-chat", "What is the capital of France?");
    Arc::make_mut(&mut work.request).stream = true;
    let mut frames = house.listen(&mut work).await.unwrap();
    house.dispatch(&work).await.unwrap();
    let outcome = house.outcome().await.unwrap();
    assert_eq!(
        outcome.status,
        OutcomeStatus::Completed,
        "{:?} (is ONNX Runtime there? `make tools`)",
        outcome.message
    );
    let answer = outcome.answer.unwrap();
    let frames = frames.all().await.unwrap();
    assert_eq!(said(&frames).choices(), answer.choices);
    assert!(!answer.first_text().is_empty());
    assert_eq!(answer.model_version.len(), 64);
    assert!(outcome.usage.prompt_tokens.0 > 0 && outcome.usage.completion_tokens.0 > 0);
    assert_eq!(house.runtime.health.all()["models"], None);
}

#[tokio::test]
async fn garbage_becomes_a_dead_letter_and_the_worker_goes_on() {
    let mock = mock(Settings::default()).await;
    let mut house = House::start(&models(&mock.url()), |_| {}).await.unwrap();
    let work = house.work("garbage", "mock", "x");
    let mut bytes = encode(&work).to_vec();
    bytes.truncate(bytes.len() / 2);
    let partition = relay_bus::Partition::new(relay_bus::topics::work_short("default"), 0);
    let record = relay_bus::Outgoing::to_partition(&partition, relay_bus::Headers::of(&work.request), bytes);
    house.runtime.bus.publish(vec![record], Vec::new()).await.unwrap();
    let outcome = house.outcome().await.unwrap();
    assert_eq!(
        (outcome.request_id, outcome.code.as_deref()),
        ("garbage".into(), Some("dead_letter"))
    );
    house.dispatch(&house.work("next", "mock", "x")).await.unwrap();
    assert_eq!(house.outcome().await.unwrap().status, OutcomeStatus::Completed);
}

#[tokio::test]
async fn damaged_work_is_a_dead_letter_with_its_position_ends_as_failed_and_the_worker_goes_on() {
    let mock = mock(Settings::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let work = relay_workers::testing::work("mock", "{}");
    let partition = relay_bus::Partition::new(relay_bus::topics::work_short("default"), 1);
    let headers = relay_bus::Headers::of(&work.request);
    let record = relay_bus::Outgoing::to_partition(&partition, headers, encode(&work));
    let manifest = House::manifest().unwrap();
    let log = with_damaged(&folder.path().join("log"), &manifest, &[record], &[0]).await;
    let mut house = House::start_on(folder, log, &models(&mock.url()), |_| {})
        .await
        .unwrap();
    let outcome = house.outcome().await.unwrap();
    assert_eq!(
        (outcome.request_id, outcome.status, outcome.code.as_deref()),
        (
            work.request.request_id.clone(),
            OutcomeStatus::Failed,
            Some("record_damaged")
        )
    );
    let lay_at = relay_bus::Position { partition, offset: 0 };
    assert_eq!(buried(&*house.runtime.bus, 1).await, [lay_at]);
    house.dispatch(&house.work("next", "mock", "x")).await.unwrap();
    assert_eq!(house.outcome().await.unwrap().status, OutcomeStatus::Completed);
}
