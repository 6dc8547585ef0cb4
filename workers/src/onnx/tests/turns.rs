//! Sequences in turn.

use super::*;

#[tokio::test]
async fn the_engine_waits_for_nobody_who_reads_slowly() {
    let spec = OnnxSpec {
        prefill_chunk: 4,
        max_sequences: 1,
        ..spec("relay-chat", GraphKind::Auto)
    };
    let model = load(&spec);
    let case = golden("chat.json")
        .into_iter()
        .find(|case| case.prompt.len() % 4 == 2)
        .unwrap();
    let (chunks, tokens) = (case.prompt.len().div_ceil(4), 2);
    let mut unread = submitted(&model, &case.prompt, tokens);
    // One sequence in turn: this one is over once the next one is.
    greedy(&model, &case.prompt, 1).await;
    assert_eq!(unread.len(), unread.max_capacity(), "the bound is exact");
    assert_eq!(unread.len(), chunks - 1 + tokens + 1);
    let mut events = Vec::new();
    while let Some(event) = unread.recv().await {
        events.push(event);
    }
    assert!(
        matches!(
            events.last(),
            Some(TokenEvent::Ended {
                finish_reason: FinishReason::Length,
                ..
            })
        ),
        "{events:?}"
    );
}

#[tokio::test]
async fn a_prompt_counts_as_far_as_it_was_taken_in() {
    let spec = OnnxSpec {
        prefill_chunk: 4,
        max_sequences: 1,
        ..spec("relay-chat", GraphKind::Auto)
    };
    let model = load(&spec);
    let prompt = &golden("chat.json")[0].prompt;
    let mut events = submitted(&model, prompt, 1);
    let mut taken_in = Vec::new();
    while let Some(event) = events.recv().await {
        if let TokenEvent::Prefilled { tokens, .. } = event {
            taken_in.push(tokens as usize);
        }
    }
    let chunks: Vec<usize> = (4..prompt.len()).step_by(4).collect();
    assert_eq!(taken_in, chunks, "the rest comes with the first token");
    // Nothing was computed of a run that is dropped before its turn.
    let _before = submitted(&model, prompt, 200);
    let mut out = emitter();
    let waits = tokio::time::timeout(Duration::ZERO, model.run(&chat("hi"), &mut out)).await;
    assert!(waits.is_err());
    assert_eq!(out.into_parts().used.usage, relay_schemas::Usage::default());
}

#[tokio::test]
async fn the_engine_turns_as_many_sequences_as_are_advertised_and_no_more() {
    let spec = OnnxSpec {
        max_sequences: 2,
        ..spec("relay-chat", GraphKind::Auto)
    };
    let model = load(&spec);
    assert_eq!(
        (model.turns(), crate::models::BackendSpec::Onnx(spec).turns()),
        (2, 2)
    );
    let prompt = &golden("chat.json")[0].prompt;
    let mut long: Vec<_> = (0..2).map(|_| submitted(&model, prompt, 60)).collect();
    // It asks for one token, so it would be the first that is over, had it had a turn beside them.
    greedy(&model, prompt, 1).await;
    let mut over = 0;
    for events in &mut long {
        while let Ok(event) = events.try_recv() {
            over += usize::from(matches!(event, TokenEvent::Ended { .. }));
        }
    }
    assert!(over >= 1, "the third had a turn beside both");
}
