//! Goes through the tail of the log: what was on disk and is not whole is damaged, and what follows it counts; what need not
//! have been on disk and is not whole was torn by a loss of power, and is cut off with all that follows.

use super::list::Listed;
use super::naming::{closing_checkpoint, name_lost, opening_seq, opens_whole};
use super::state::State;
use super::tail::{Replay, Tail, Torn};
use super::walk::Walk;
use crate::Seq;
use crate::error::OpenError;
use crate::format::header::LENGTH as FRONT;
use crate::format::segment_name;
use crate::log::Boundary;
use crate::opened::{Damage, Opened};
use crate::storage::Storage;

/// Goes through `segments` from `first` on, or from an earlier one if nothing else says what the notes were.
pub(crate) fn replay<S: Storage>(
    storage: &S,
    segments: &[Listed],
    mut first: usize,
    proven: Seq,
    salt: u64,
) -> Result<Replay<S::File>, OpenError> {
    let mut state = State::default();
    while !state.known && first > 0 {
        if let Some(checkpoint) = closing_checkpoint(storage, &segments[first - 1], salt)? {
            state.begin(checkpoint);
        } else if opens_whole(storage, &segments[first], salt)? {
            break;
        } else {
            first -= 1;
        }
    }
    let before = first.checked_sub(1).and_then(|at| segments[at].sealed.as_ref());
    let mut expected = before.map(|sealed| sealed.contents.end_seq);
    let mut replay = Replay {
        first,
        tail: Tail {
            proven,
            ..Tail::default()
        },
        opened: Opened::default(),
        torn: None,
        empty: Vec::new(),
    };
    let mut unnamed = None;
    for (at, listed) in segments.iter().enumerate().skip(first) {
        let following = segments.get(at + 1);
        let next_first = following.and_then(|next| Some(next.header?.first_seq));
        let first_seq = match listed.header {
            Some(header) => header.first_seq,
            None => opening_seq(storage, listed, salt)?.or(expected).unwrap_or(1),
        };
        if next_first == Some(first_seq) {
            replay.empty.push(listed.number);
            continue;
        }
        if expected.is_some_and(|expected| first_seq > expected && expected >= proven) {
            let bytes = segments[at..].iter().map(|listed| listed.length).sum();
            replay.torn = Some(Torn {
                segment: listed.number,
                at: 0,
                bytes,
                whole: true,
            });
            break;
        }
        let name = segment_name(listed.number);
        let file = storage
            .open(&name)
            .map_err(OpenError::io(format!("opening {name}")))?;
        let mut walk = Walk::new(listed, file, salt, proven, first_seq);
        let whole = walk
            .go(&mut state, next_first)
            .map_err(OpenError::io(format!("reading {name}")))?;
        let jumped: i64 = state.jumps.iter().map(|(_, lost)| lost.end - lost.start).sum();
        if let Some((at, nameless)) = unnamed.take()
            && jumped as u64 <= nameless
        {
            name_lost(&mut replay.tail.closed[at], &state.jumps);
        }
        state.jumps.clear();
        replay.opened.scanned += listed.length;
        replay.opened.damaged.append(&mut walk.damaged);
        expected = Some(walk.good.next_seq);
        let torn =
            !whole || (following.is_none() && walk.footer_at.is_none() && walk.good.position < listed.length);
        if torn {
            let later: u64 = segments[at + 1..].iter().map(|listed| listed.length).sum();
            replay.torn = Some(Torn {
                segment: listed.number,
                at: walk.good.position,
                bytes: listed.length - walk.good.position + later,
                whole: walk.good.position == FRONT,
            });
        }
        let last = torn || following.is_none();
        let nameless = walk.locator.nameless;
        unnamed = (!last && nameless > 0).then_some((replay.tail.closed.len(), nameless));
        walk.end(&mut state, &mut replay.tail, last);
        if torn {
            break;
        }
    }
    replay.tail.next_seq = expected.unwrap_or(1);
    finish(&mut replay, state, segments, proven);
    Ok(replay)
}

/// Hands over what was found out on the way.
fn finish<F>(replay: &mut Replay<F>, mut state: State, segments: &[Listed], proven: Seq) {
    replay.opened.notes_lost = !state.known;
    for number in std::mem::take(&mut state.segments) {
        if segments
            .binary_search_by_key(&number, |listed| listed.number)
            .is_err()
        {
            replay.opened.damaged.push(Damage {
                segment: number,
                position: 0,
                slot: None,
                offset: None,
                what: "the segment is missing".to_owned(),
            });
        }
    }
    for next in state.next.values_mut() {
        *next += state.nameless as i64;
    }
    replay.tail.next = state.next;
    replay.tail.notes = state.notes;
    replay.tail.boundary = state.boundary.or_else(|| {
        let listed = segments.get(replay.first.saturating_sub(1))?;
        Some(Boundary {
            number: listed.number,
            position: if replay.first > 0 { listed.length } else { FRONT },
        })
    });
    replay.tail.unproven = state.unproven;
    replay.tail.marked = state.marked;
    // What said more is cut off with the rest.
    replay.tail.proven = proven.min(replay.tail.next_seq);
}
