//! Answers on their way to the ingress that waits: cut into frames that fit, the last one with the end.

use relay_lifecycle::final_of;
use relay_schemas::{Final, Frame, Outcome, TokenCount, encode};

use crate::{Control, send};

/// What the numbers inside a frame can grow by when it is cut: lengths and sequence number are variable-length integers.
const NUMBERS_GROW_BY: usize = 24;

/// Cuts a frame whose text is too long for one message into consecutive ones, at character boundaries; `end` stays on the
/// last. Each piece says the whole count of tokens: all of them were there when the frame was made.
pub fn split(frame: Frame, max_payload: usize) -> Vec<Frame> {
    let whole = encode(&frame).len();
    if whole <= max_payload {
        return vec![frame];
    }
    let overhead = whole - frame.text.len() + NUMBERS_GROW_BY;
    let room = max_payload.saturating_sub(overhead);
    let Frame {
        request_id,
        run,
        seq,
        text,
        tokens,
        end,
    } = frame;
    let pieces = cut(&text, room);
    let last = pieces.len() - 1;
    let mut end = Some(end);
    let piece = |(index, text): (usize, &str)| Frame {
        request_id: request_id.clone(),
        run: run.clone(),
        seq: seq.saturating_add(u32::try_from(index).unwrap_or(u32::MAX)),
        text: text.to_owned(),
        tokens,
        end: if index == last { end.take().flatten() } else { None },
    };
    pieces.into_iter().enumerate().map(piece).collect()
}

/// At least one piece; each at most `room` bytes, but never less than one character.
fn cut(text: &str, room: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while rest.len() > room {
        let first = rest.chars().next().map_or(0, char::len_utf8);
        let at = rest.floor_char_boundary(room).max(first);
        let (piece, after) = rest.split_at(at);
        pieces.push(piece);
        rest = after;
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(rest);
    }
    pieces
}

/// The frames that end a run whose earlier frames went up to `first_seq - 1`; `with_text` where the client has seen none of it.
pub fn final_frames(outcome: &Outcome, first_seq: u32, with_text: bool, max_payload: usize) -> Vec<Frame> {
    let text = match &outcome.answer {
        Some(answer) if with_text => answer.text.clone(),
        _ => String::new(),
    };
    let frame = Frame {
        request_id: outcome.request_id.clone(),
        run: outcome.run.clone(),
        seq: first_seq,
        text,
        tokens: TokenCount(outcome.usage.completion_tokens.0),
        end: Some(within(final_of(outcome), max_payload)),
    };
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
pub async fn finish(control: &dyn Control, outcome: &Outcome, first_seq: u32, with_text: bool) {
    let request = outcome.request.as_ref();
    let Some(reply_to) = request.and_then(|request| request.reply_to.as_deref()) else {
        return;
    };
    for frame in final_frames(outcome, first_seq, with_text, control.max_payload()) {
        if let Err(error) = send(control, reply_to, &frame).await {
            tracing::warn!(request_id = %outcome.request_id, %error, "the final frame could not be sent; the log will tell");
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use relay_schemas::{OutcomeStatus, Run, Service, Usage};

    use super::*;

    fn frame(text: String, seq: u32, ends: bool) -> Frame {
        Frame {
            request_id: "request".into(),
            run: Run {
                service: Service::Workers,
                instance: "worker".into(),
                epoch: 1_700_000_000_000,
                attempt: 1,
            },
            seq,
            text,
            tokens: TokenCount(12),
            end: ends.then(|| Final {
                status: OutcomeStatus::Completed,
                code: None,
                message: None,
                finish_reason: Some("stop".to_owned()),
                model: "tiny".to_owned(),
                usage: Usage::default(),
                retry_after_ms: None,
            }),
        }
    }

    /// Room for everything but the text, and `text` bytes of it.
    fn limit_with(text: usize) -> usize {
        encode(&frame(String::new(), 0, true)).len() + NUMBERS_GROW_BY + text
    }

    #[test]
    fn a_frame_that_fits_stays_whole() {
        let whole = frame("short".to_owned(), 3, true);
        assert_eq!(split(whole.clone(), encode(&whole).len()), [whole]);
    }

    #[test]
    fn a_frame_without_room_for_text_still_moves_a_character_at_a_time() {
        let pieces = split(frame("aé😀".to_owned(), 0, true), 1);
        let texts: Vec<&str> = pieces.iter().map(|piece| piece.text.as_str()).collect();
        assert_eq!(texts, ["a", "é", "😀"]);
    }

    #[test]
    fn a_reason_too_long_for_a_message_is_cut_and_not_the_end_with_it() {
        let end = frame(String::new(), 0, true).end.map(|end| Final {
            message: Some("€".repeat(1_000)),
            ..end
        });
        let end = within(end.expect("it was just made"), 1_000);
        assert_eq!(end.message.map(|message| message.len()), Some(249));
    }

    proptest! {
        #[test]
        fn splitting_loses_nothing(
            text in "\\PC{0,400}",
            seq in 0_u32..1_000_000,
            room in 4_usize..120,
            ends: bool,
        ) {
            let limit = limit_with(room);
            let pieces = split(frame(text.clone(), seq, ends), limit);
            let together: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
            prop_assert_eq!(together, text);
            for (index, piece) in pieces.iter().enumerate() {
                prop_assert_eq!(piece.seq, seq + u32::try_from(index).expect("few pieces"));
                prop_assert!(encode(piece).len() <= limit);
                prop_assert_eq!(piece.end.is_some(), ends && index == pieces.len() - 1);
                prop_assert_eq!(piece.tokens, TokenCount(12));
            }
        }
    }
}
