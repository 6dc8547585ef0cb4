//! Answers on their way to the ingress that waits: cut into frames that fit, the last one with the end.

use relay_lifecycle::last_frame;
use relay_lifecycle::transcript::{embedding_pieces, embedding_weight, pieces, weight};
use relay_schemas::{Delta, Embedding, Final, Frame, Outcome, encode};

use crate::{Control, send};

/// What the numbers inside a frame can grow by when it is cut: lengths and sequence number are variable-length integers.
const NUMBERS_GROW_BY: usize = 24;

/// What a frame without an end takes beside its names and what it carries, generously.
const BESIDE: usize = 128;

/// Cuts a frame that is too long for one message into consecutive ones: texts and arguments at character boundaries, lists
/// between entries, vectors between values; `end` stays on the last. Each piece says the whole count of tokens: all of them
/// were there when the frame was made. What cannot be cut (names, fields that nobody here knows, entries of lists) goes as it is:
/// whoever makes a frame sees to it that there is [`room`].
pub fn split(frame: Frame, max_payload: usize) -> Vec<Frame> {
    if is_small(&frame, max_payload) || encode(&frame).len() <= max_payload {
        return vec![frame];
    }
    let Frame {
        deltas,
        embeddings,
        end,
        ..
    } = frame;
    let frame = Frame {
        deltas: Vec::new(),
        embeddings: Vec::new(),
        end,
        ..frame
    };
    let room = room(&frame, max_payload);
    let mut packed = vec![Load::default()];
    for delta in deltas.into_iter().flat_map(|delta| pieces(delta, room)) {
        let load = place(&mut packed, weight(&delta), room);
        load.deltas.push(delta);
    }
    for vector in embeddings
        .iter()
        .flat_map(|vector| embedding_pieces(vector, room))
    {
        let load = place(&mut packed, embedding_weight(&vector), room);
        load.embeddings.push(vector);
    }
    let last = packed.len() - 1;
    let mut end = Some(frame.end);
    let piece = |(index, load): (usize, Load)| Frame {
        request_id: frame.request_id.clone(),
        run: frame.run.clone(),
        seq: frame.seq.saturating_add(u32::try_from(index).unwrap_or(u32::MAX)),
        deltas: load.deltas,
        embeddings: load.embeddings,
        tokens: frame.tokens,
        end: if index == last { end.take().flatten() } else { None },
    };
    packed.into_iter().enumerate().map(piece).collect()
}

/// Whether a frame fits that is far from the limit, as nearly all are: told without encoding it.
fn is_small(frame: &Frame, max_payload: usize) -> bool {
    let deltas: usize = frame.deltas.iter().map(weight).sum();
    let vectors: usize = frame.embeddings.iter().map(embedding_weight).sum();
    let names = frame.request_id.as_str().len() + frame.run.instance.as_str().len();
    frame.end.is_none() && deltas + vectors + names + BESIDE <= max_payload
}

/// How many bytes of an answer a message can carry in a frame that is otherwise as `bare`, which carries none.
pub fn room(bare: &Frame, max_payload: usize) -> usize {
    max_payload.saturating_sub(encode(bare).len() + NUMBERS_GROW_BY)
}

/// What one frame carries.
#[derive(Default)]
struct Load {
    deltas: Vec<Delta>,
    embeddings: Vec<Embedding>,
    bytes: usize,
}

/// Where `bytes` more go: into the last frame if there is room, or if it carries nothing yet.
fn place(packed: &mut Vec<Load>, bytes: usize, room: usize) -> &mut Load {
    let full = |load: &Load| load.bytes > 0 && load.bytes + bytes > room;
    if packed.last().is_none_or(full) {
        packed.push(Load::default());
    }
    let load = packed.last_mut().expect("one was pushed where there was none");
    load.bytes += bytes;
    load
}

/// [`last_frame`], in as many frames as it takes.
pub fn final_frames(outcome: &Outcome, first_seq: u32, with_content: bool, max_payload: usize) -> Vec<Frame> {
    let mut frame = last_frame(outcome, first_seq, with_content);
    frame.end = frame.end.map(|end| within(end, max_payload));
    split(frame, max_payload)
}

/// A reason for people must not keep the end from being sent.
fn within(mut end: Final, max_payload: usize) -> Final {
    if let Some(message) = &mut end.message {
        message.truncate(message.floor_char_boundary(max_payload / 4));
    }
    end
}

/// Sends the end of `outcome`'s run to the ingress that waits for it, if one does. What fails is logged and given up:
/// the log tells ingress how it ended.
pub async fn finish(control: &dyn Control, outcome: &Outcome, first_seq: u32, with_content: bool) {
    let request = outcome.request.as_ref();
    let Some(reply_to) = request.and_then(|request| request.reply_to.as_deref()) else {
        return;
    };
    for frame in final_frames(outcome, first_seq, with_content, control.max_payload()) {
        if let Err(error) = send(control, reply_to, frame).await {
            tracing::warn!(request_id = %outcome.request_id, %error, "the final frame could not be sent; the log will tell");
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use relay_lifecycle::Transcript;
    use relay_schemas::{FinishReason, TokenCount, ToolCallDelta, samples};

    use super::*;

    fn frame(text: &str, seq: u32, ends: bool) -> Frame {
        Frame {
            tokens: TokenCount(12),
            end: ends.then(samples::last),
            ..samples::frame(seq, text)
        }
    }

    #[test]
    fn a_frame_that_fits_stays_whole() {
        let whole = frame("short", 3, true);
        assert_eq!(split(whole.clone(), encode(&whole).len()), [whole]);
    }

    #[test]
    fn a_frame_without_room_for_text_still_moves_a_character_at_a_time() {
        let pieces = split(frame("aé😀", 0, true), 1);
        let texts: Vec<&str> = pieces.iter().map(|piece| piece.deltas[0].text.as_str()).collect();
        assert_eq!(texts, ["a", "é", "😀"]);
    }

    #[test]
    fn a_reason_too_long_for_a_message_is_cut_and_not_the_end_with_it() {
        let end = Final {
            message: Some("€".repeat(1_000)),
            ..samples::last()
        };
        let end = within(end, 1_000);
        assert_eq!(end.message.map(|message| message.len()), Some(249));
    }

    #[test]
    fn the_last_frames_of_a_streamed_answer_say_only_why_it_ended() {
        let outcome = samples::outcome();
        let [last] = &final_frames(&outcome, 7, false, 10_000)[..] else {
            panic!("it is small");
        };
        assert_eq!(
            (last.seq, &last.deltas[..]),
            (7, &[Delta::finish(0, FinishReason::Stop)][..])
        );
        let [whole] = &final_frames(&outcome, 0, true, 10_000)[..] else {
            panic!("it is small");
        };
        let mut read = Transcript::default();
        read.apply(whole);
        assert_eq!(Some(read), outcome.answer.as_deref().map(Transcript::of));
    }

    fn any_delta() -> impl Strategy<Value = Delta> {
        let text = "\\PC{0,120}";
        let entries = || proptest::collection::vec("[a-z]{0,9}", 0..5);
        (0_u32..3, text, text, text, entries(), 0_u32..3, text).prop_map(
            |(index, text, reasoning, refusal, logprobs, call, arguments)| Delta {
                index,
                text,
                reasoning,
                refusal,
                tool_calls: vec![ToolCallDelta {
                    index: call,
                    id: Some("id".to_owned()),
                    arguments,
                    ..ToolCallDelta::default()
                }],
                refusal_logprobs: logprobs.clone(),
                logprobs,
                extra: Some("{}".to_owned()),
                ..Delta::default()
            },
        )
    }

    proptest! {
        #[test]
        fn what_counts_as_small_fits(deltas in proptest::collection::vec(any_delta(), 0..9), seq: u32, most in 0_usize..9_000) {
            let whole = Frame { deltas, ..frame("", seq, false) };
            prop_assert!(!is_small(&whole, most) || encode(&whole).len() <= most);
        }

        #[test]
        fn splitting_loses_nothing(
            deltas in proptest::collection::vec(any_delta(), 0..4),
            vector in proptest::collection::vec(-1_000_i16..1_000, 0..200),
            seq in 0_u32..1_000_000,
            room in 128_usize..400,
            ends: bool,
        ) {
            let values = vector.into_iter().map(f32::from).collect();
            let whole = Frame {
                deltas,
                embeddings: vec![Embedding { index: 1, values }],
                ..frame("", seq, ends)
            };
            let bare = Frame { deltas: Vec::new(), embeddings: Vec::new(), ..whole.clone() };
            let limit = encode(&bare).len() + NUMBERS_GROW_BY + room;
            let pieces = split(whole.clone(), limit);
            let (mut together, mut expected) = (Transcript::default(), Transcript::default());
            expected.apply(&whole);
            for piece in &pieces { together.apply(piece); }
            prop_assert_eq!(together.choices(), expected.choices());
            prop_assert_eq!(together.embeddings(), expected.embeddings());
            for (index, piece) in pieces.iter().enumerate() {
                prop_assert_eq!(piece.seq, seq + u32::try_from(index).expect("few pieces"));
                prop_assert!(encode(piece).len() <= limit);
                prop_assert_eq!(piece.end.is_some(), ends && index == pieces.len() - 1);
                prop_assert_eq!(piece.tokens, TokenCount(12));
            }
        }
    }
}
