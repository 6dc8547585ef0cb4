//! The engine against the project's own models and the real ONNX Runtime.
#![expect(clippy::unwrap_used, reason = "tests")]

mod turns;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use relay_schemas::Operation;
use serde::Deserialize;

use super::*;
use crate::models::{GraphKind, Price};
use crate::testing::{self, work};
use relay_schemas::FinishReason;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn spec(folder: &str, graph: GraphKind) -> OnnxSpec {
    OnnxSpec {
        price: Price::default(),
        path: root().join("models").join(folder),
        graph,
        precision: None,
        execution_provider: None,
        threads: 1,
        prefill_chunk: 256,
        max_sequences: 8,
        max_context: None,
    }
}

fn load(spec: &OnnxSpec) -> Arc<OnnxModel> {
    let library = library_path(&root().join(".relay/tools/onnxruntime/libonnxruntime.so"));
    assert!(
        library.exists(),
        "no ONNX Runtime at {}: run `make tools`, or name it in {}",
        library.display(),
        library::VARIABLE
    );
    Arc::new(
        OnnxModel::load(
            "test",
            spec,
            &library,
            Device::Cpu,
            &Clock::system(),
            &Chance::system(),
        )
        .unwrap(),
    )
}

fn emitter() -> Emitter {
    Emitter::new(1 << 20, Arc::new(AtomicU32::new(0)), None, Clock::system())
}

/// Runs a request; gives text, finish reason and tokens.
async fn answer(model: &OnnxModel, work: &Work) -> (String, FinishReason, u32) {
    let mut out = emitter();
    let finished = model.run(work, &mut out).await.unwrap();
    let taken = out.into_parts();
    let text = taken.transcript.first_text().to_owned();
    (
        text,
        finished.finish_reason.unwrap(),
        taken.used.usage.completion_tokens.0,
    )
}

/// By reading: a failure that was ready together with text before it took the text along.
#[tokio::test]
async fn what_came_before_a_failure_is_shown_and_counted() {
    let (events, mut receiver) = mpsc::channel(4);
    for text in ["alpha ", "beta"] {
        let text = text.to_owned();
        let token = TokenEvent::Token { text, compute_us: 3 };
        events.try_send(token).unwrap();
    }
    events.try_send(TokenEvent::Failed("broken".to_owned())).unwrap();
    let mut out = emitter();
    let Err(failure) = take(&mut receiver, 7, &mut out).await else {
        panic!("it fails")
    };
    assert_eq!(
        (failure.code, failure.message.as_str()),
        (Code::BackendError, "broken")
    );
    let taken = out.into_parts();
    let text = taken.transcript.first_text();
    let used = (
        taken.used.usage.completion_tokens.0,
        taken.used.computed.as_micros(),
    );
    assert_eq!((text, used), ("alpha beta", (2, 6)));
}

fn chat(content: &str) -> Work {
    work(
        "test",
        &serde_json::json!({"messages": [{"role": "user", "content": content}]}).to_string(),
    )
}

#[derive(Deserialize)]
struct Golden {
    prompt: Vec<u32>,
    tokens: Vec<u32>,
}

fn golden(name: &str) -> Vec<Golden> {
    let path = root().join("models/build/golden").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The events of a generation that is on its way.
fn submitted(model: &OnnxModel, prompt: &[u32], most: usize) -> Receiver<TokenEvent> {
    let (events, receiver) = mpsc::channel(most_events(prompt.len(), most, model.engine.prefill_chunk()));
    assert!(model.engine.submit(Generation {
        prompt: prompt.to_vec(),
        decoding: work("test", "{}").planning.plan.decoding.clone(),
        max_tokens: most,
        seed: 0,
        stops: Vec::new(),
        events
    }));
    receiver
}

/// The engine's greedy tokens, with the prompt's tokens given and the text left to itself.
async fn greedy(model: &OnnxModel, prompt: &[u32], most: usize) -> String {
    let mut receiver = submitted(model, prompt, most);
    let mut text = String::new();
    while let Some(event) = receiver.recv().await {
        match event {
            TokenEvent::Prefilled { .. } => {}
            TokenEvent::Token { text: piece, .. } | TokenEvent::Ended { text: piece, .. } => {
                text.push_str(&piece);
            }
            TokenEvent::Failed(reason) => panic!("{reason}"),
        }
    }
    text
}

#[tokio::test]
async fn both_graphs_of_the_chat_model_say_what_the_trained_model_says() {
    let golden = golden("chat.json");
    for graph in [GraphKind::Gqa, GraphKind::Plain] {
        let model = load(&spec("relay-chat", graph));
        for case in &golden {
            let end = case.tokens.len()
                - usize::from(case.tokens.last().is_some_and(|t| model.text.ends.contains(t)));
            let expected = model.text.decode(&case.tokens[..end]);
            let got = greedy(
                &model,
                &case.prompt,
                case.tokens.len().min(1_024 - case.prompt.len()),
            )
            .await;
            assert_eq!(got, expected, "{graph:?}");
        }
    }
}

#[tokio::test]
async fn the_gpt2_shaped_model_says_what_the_trained_model_says() {
    let model = load(&spec("relay-gpt2", GraphKind::Auto));
    for case in golden("gpt2.json") {
        let end = case
            .tokens
            .iter()
            .position(|token| model.text.ends.contains(token))
            .unwrap_or(case.tokens.len());
        let got = greedy(&model, &case.prompt, end.max(1)).await;
        assert_eq!(got, model.text.decode(&case.tokens[..end]));
    }
}

#[tokio::test]
async fn a_prompt_in_chunks_gives_what_the_whole_prompt_gives() {
    let whole = load(&spec("relay-chat", GraphKind::Gqa));
    let longest = golden("chat.json")
        .into_iter()
        .max_by_key(|case| case.prompt.len())
        .unwrap();
    let expected = greedy(&whole, &longest.prompt, 16).await;
    for graph in [GraphKind::Gqa, GraphKind::Plain] {
        let chunked = load(&OnnxSpec {
            prefill_chunk: 7,
            ..spec("relay-chat", graph)
        });
        assert_eq!(greedy(&chunked, &longest.prompt, 16).await, expected, "{graph:?}");
    }
}

#[tokio::test]
async fn the_precision_names_another_graph_with_a_version_of_its_own() {
    let model = load(&OnnxSpec {
        precision: Some("int8".to_owned()),
        ..spec("relay-chat", GraphKind::Auto)
    });
    let (text, ..) = answer(&model, &chat("What is the capital of France?")).await;
    assert!(!text.is_empty());
    let full = load(&spec("relay-chat", GraphKind::Auto));
    assert_ne!(model.version(), full.version());
    assert_eq!(
        full.version(),
        load(&spec("relay-chat", GraphKind::Auto)).version()
    );
}

#[tokio::test]
async fn a_seed_repeats_a_sampled_answer_and_a_drawn_seed_is_told() {
    let model = load(&spec("relay-chat", GraphKind::Auto));
    let mut work = chat("Tell me about the moon.");
    // Hot enough that equal answers to different seeds are out of the question.
    Arc::make_mut(&mut work.planning).plan.decoding.temperature = 20.0;
    let mut out = emitter();
    model.run(&work, &mut out).await.unwrap();
    let drawn = out.into_parts();
    Arc::make_mut(&mut work.planning).plan.decoding.seed = drawn.seed;
    assert!(drawn.seed.is_some());
    assert_eq!(answer(&model, &work).await.0, drawn.transcript.first_text());
    Arc::make_mut(&mut work.planning).plan.decoding.seed = drawn.seed.map(|seed| seed ^ 1);
    assert_ne!(answer(&model, &work).await.0, drawn.transcript.first_text());
}

#[tokio::test]
async fn sequences_in_turn_say_what_each_says_alone() {
    let model = load(&OnnxSpec {
        max_sequences: 2,
        ..spec("relay-chat", GraphKind::Auto)
    });
    let questions = [
        "What is the capital of France?",
        "Say hello.",
        "What is 2 plus 3?",
    ]
    .map(chat);
    let mut alone = Vec::new();
    for work in &questions {
        alone.push(answer(&model, work).await);
    }
    let [a, b, c] = &questions;
    let together = tokio::join!(answer(&model, a), answer(&model, b), answer(&model, c));
    assert_eq!(vec![together.0, together.1, together.2], alone);
}

#[tokio::test]
async fn a_stop_string_ends_the_answer_and_is_not_part_of_it() {
    let model = load(&spec("relay-chat", GraphKind::Auto));
    let mut work = chat("What is the capital of France?");
    let (whole, reason, tokens) = answer(&model, &work).await;
    assert_eq!(reason, FinishReason::Stop);
    // Two characters out of the middle: probably across tokens, certainly inside the text.
    let middle: String = whole.chars().skip(whole.chars().count() / 2).take(2).collect();
    Arc::make_mut(&mut work.planning).plan.decoding.stop = vec![middle.clone()];
    let (cut, reason, fewer) = answer(&model, &work).await;
    assert_eq!(
        (cut.as_str(), reason.name()),
        (whole.split(&middle).next().unwrap(), "stop")
    );
    assert!(fewer < tokens);
}

#[tokio::test]
async fn the_limit_of_new_tokens_ends_the_answer_with_length() {
    let model = load(&spec("relay-chat", GraphKind::Auto));
    let mut work = chat("What is the capital of France?");
    Arc::make_mut(&mut work.planning).plan.decoding.max_tokens = relay_schemas::TokenCount(3);
    let (_, reason, tokens) = answer(&model, &work).await;
    assert_eq!((reason.name(), tokens), ("length", 3));
    Arc::make_mut(&mut work.planning).plan.decoding.max_tokens = relay_schemas::TokenCount(0);
    assert_eq!(
        answer(&model, &work).await,
        (String::new(), FinishReason::Length, 0)
    );
}

#[tokio::test]
async fn what_does_not_fit_into_the_context_is_refused_and_what_just_fits_is_cut() {
    let model = load(&OnnxSpec {
        max_context: Some(24),
        ..spec("relay-chat", GraphKind::Auto)
    });
    let failure = model
        .run(&chat(&"word ".repeat(100)), &mut emitter())
        .await
        .unwrap_err();
    assert_eq!(failure.code, Code::ContextLengthExceeded);
    assert!(!failure.message.contains("word"), "{}", failure.message);
    let mut out = emitter();
    let finished = model
        .run(&chat("Tell me a very long story about the sea."), &mut out)
        .await
        .unwrap();
    let taken = out.into_parts();
    assert_eq!(finished.finish_reason, Some(FinishReason::Length));
    assert_eq!(
        taken.used.usage.prompt_tokens.0 + taken.used.usage.completion_tokens.0,
        24
    );
}

#[tokio::test]
async fn a_dropped_run_leaves_the_engine_to_the_others_at_once() {
    let model = load(&OnnxSpec {
        max_sequences: 1,
        ..spec("relay-chat", GraphKind::Auto)
    });
    let expected = answer(&model, &chat("Say hello.")).await;
    let mut endless = chat("Tell me a long story.");
    Arc::make_mut(&mut endless.planning).plan.decoding.temperature = 50.0;
    Arc::make_mut(&mut endless.planning).plan.decoding.max_tokens = relay_schemas::TokenCount(1_000);
    let shown = Arc::new(AtomicU32::new(0));
    let mut out = Emitter::new(1 << 20, shown.clone(), None, Clock::system());
    tokio::select! {
        _ = model.run(&endless, &mut out) => panic!("it was to be cancelled"),
        () = testing::until(|| shown.load(Ordering::Relaxed) > 2) => {}
    }
    // With a single place in turn this only ends well if the endless one has left.
    let hello = chat("Say hello.");
    let next = tokio::time::timeout(Duration::from_secs(10), answer(&model, &hello));
    assert_eq!(next.await.unwrap(), expected);
}

#[tokio::test]
async fn requests_that_no_prompt_can_be_made_of_are_refused() {
    let model = load(&spec("relay-chat", GraphKind::Auto));
    for (operation, body) in [
        (Operation::Chat, "{}"),
        (Operation::Chat, r#"{"messages":[]}"#),
        (Operation::Completion, r#"{"prompt":""}"#),
        (Operation::Embedding, r#"{"input":"a"}"#),
    ] {
        let mut work = work("test", body);
        Arc::make_mut(&mut work.request).operation = operation;
        let failure = model.run(&work, &mut emitter()).await.unwrap_err();
        assert_eq!(failure.code, Code::InvalidRequest, "{body}");
    }
}

#[test]
fn folders_that_are_no_models_are_named_with_the_file_that_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let library = library_path(&root().join(".relay/tools/onnxruntime/libonnxruntime.so"));
    let spec = OnnxSpec {
        path: folder.path().to_owned(),
        ..spec("relay-chat", GraphKind::Auto)
    };
    let refused = || {
        OnnxModel::load(
            "test",
            &spec,
            &library,
            Device::Cpu,
            &Clock::system(),
            &Chance::system(),
        )
        .err()
        .unwrap()
        .to_string()
    };
    assert!(refused().contains("no graph (.onnx)"), "{}", refused());
    std::fs::write(folder.path().join("model.onnx"), "no graph").unwrap();
    assert!(refused().contains("tokenizer.json"), "{}", refused());
    std::fs::copy(
        root().join("models/relay-chat/tokenizer.json"),
        folder.path().join("tokenizer.json"),
    )
    .unwrap();
    assert!(refused().starts_with("ONNX Runtime: "), "{}", refused());
    std::fs::write(folder.path().join("config.json"), "{").unwrap();
    assert!(refused().contains("config.json"), "{}", refused());
}
