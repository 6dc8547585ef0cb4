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
/// ingress asks when frames are missing.
pub async fn finish(control: &dyn Control, outcome: &Outcome, first_seq: u32, with_text: bool) {
    let request = outcome.request.as_ref();
    let Some(reply_to) = request.and_then(|request| request.reply_to.as_deref()) else {
        return;
    };
    for frame in final_frames(outcome, first_seq, with_text, control.max_payload()) {
        if let Err(error) = send(control, reply_to, &frame).await {
            tracing::warn!(request_id = %outcome.request_id, %error, "the final frame could not be sent; ingress will ask");
            return;
        }
    }
}
