//! Goes through the tail of the log: what was on disk and is not whole is damaged, and what follows it counts; what need not
//! have been on disk and is not whole was torn by a loss of power, and is cut off with all that follows.

use super::list::Listed;
use super::naming::{closing_checkpoint, name_lost, opening_seq, opens_whole};
use super::proof::Proof;
use super::state::State;
use super::tail::{Replay, Tail};
use super::walk::Walk;
use crate::Seq;
use crate::error::OpenError;
use crate::format::entry::NO_SLOT;
use crate::format::header::LENGTH as FRONT;
use crate::format::segment_name;
use crate::log::Boundary;
use crate::opened::{Damage, Opened};
use crate::segment::Closed;
use crate::storage::{Storage, StorageFile};
use crate::uncut::Torn;

/// Goes through `segments` from `first` on, or from an earlier one if nothing else says what the notes were.
pub(crate) fn replay<S: Storage>(
    storage: &S,
    segments: &[Listed],
    first: usize,
    mut proof: Proof,
    salt: u64,
) -> Result<Replay<S::File>, OpenError> {
    let (mut state, first) = begin(storage, segments, first, proof.proven, salt)?;
    let before = first.checked_sub(1).and_then(|at| segments[at].sealed.as_ref());
    let mut expected = before.map(|sealed| sealed.contents.end_seq);
    if first == 0 {
        // Only what is proven is ever taken away in front of all others.
        expected = Some(proof.proven.max(1));
    }
    let mut replay = nothing_yet(first, proof.proven);
    // Nothing in them counts, but a head that is damaged may have ended another one.
    let mut headless = Vec::new();
    let mut last: Option<Walk<'_, S::File>> = None;
    for (at, listed) in segments.iter().enumerate().skip(first) {
        let following = segments.get(at + 1);
        let next_first = following.map(|following| first_seq(storage, following, salt));
        let next_first = next_first.transpose()?.flatten();
        let first_seq = first_seq(storage, listed, salt)?.or(expected).unwrap_or(1);
        // The first one of a log is on disk before anything else.
        if at > 0 && first_seq >= proof.proven {
            replay.doubtful.get_or_insert(listed.number);
        }
        if next_first == Some(first_seq) {
            if listed.is_void(next_first) {
                replay.void.push(listed.number);
            } else {
                headless.push(listed.unread(first_seq));
            }
            continue;
        }
        let mut torn = |at: u64, bytes: u64| {
            replay.torn = Some(Torn {
                segment: listed.number,
                at,
                bytes,
                whole: at <= FRONT && !listed.begins_whole(),
            });
        };
        let later: u64 = segments[at + 1..].iter().map(|listed| listed.length).sum();
        if expected.is_some_and(|expected| first_seq > expected && expected >= proof.proven) {
            torn(0, listed.length + later);
            break;
        }
        let name = segment_name(listed.number);
        let file = storage
            .open(&name)
            .map_err(OpenError::io(format!("opening {name}")))?;
        let mut walk = Walk::new(listed, file, salt, proof.proven, first_seq);
        let before = (state.boundary, state.stated, state.unproven);
        let whole = walk
            .go(&mut state, next_first)
            .map_err(OpenError::io(format!("reading {name}")))?;
        proof.unread = proof.unread.max(walk.unread);
        replay.opened.scanned += listed.length;
        replay.opened.damaged.append(&mut walk.damaged);
        let open_end = following.is_none() && walk.footer_at.is_none();
        let is_torn = !whole || open_end && walk.good.position < listed.length;
        if is_torn {
            torn(walk.good.position, listed.length - walk.good.position + later);
        }
        if is_torn && walk.good.position == FRONT && !listed.begins_whole() {
            // Nothing of it is left, nor of what it says: the one before is written on.
            (state.boundary, state.stated, state.unproven) = before;
            expected = expected.or(Some(first_seq));
            break;
        }
        if let Some(from) = walk.blind.filter(|_| following.is_none())
            && proof.is_unread(listed.number, from)
        {
            replay.unread = Some((listed.number, from));
        }
        expected = Some(walk.good.next_seq);
        if let Some(before) = last.replace(walk) {
            replay
                .tail
                .closed
                .push(close(before, &state, listed.number, segments));
        }
        replay.tail.closed.append(&mut headless);
        state.jumps.clear();
        state.before.clear();
        if is_torn {
            break;
        }
    }
    if let Some(torn) = replay.torn.filter(|torn| proof.is_unread(torn.segment, torn.at)) {
        replay.unread = Some((torn.segment, torn.at));
    }
    let tells_more = !replay.opened.damaged.is_empty() || state.stated < proof.proven;
    replay.tail.pinned = replay.torn.is_some() && tells_more;
    replay.void.extend(headless.iter().map(|segment| segment.number));
    if let Some(last) = last {
        let number = last.listed.number;
        if last.is_over(replay.tail.pinned) && last.holds_nothing() {
            // Its number would be missed once it is taken away.
            replay.void.push(number);
            if let Some(torn) = replay.torn.as_mut().filter(|torn| torn.segment == number) {
                torn.whole = true;
            }
        } else {
            last.end(&mut replay.tail);
        }
    }
    replay.tail.next_seq = expected.unwrap_or(1);
    finish(&mut replay, state, segments);
    Ok(replay)
}

fn nothing_yet<F>(first: usize, proven: Seq) -> Replay<F> {
    Replay {
        first,
        tail: Tail {
            proven,
            ..Tail::default()
        },
        opened: Opened::default(),
        torn: None,
        unread: None,
        doubtful: None,
        void: Vec::new(),
    }
}

/// Closes a segment; what it could not name of its entries is named by where its neighbour, the segment `next`, goes on.
fn close<F: StorageFile>(walk: Walk<'_, F>, state: &State, next: u64, segments: &[Listed]) -> Closed {
    let nameless = walk.locator.nameless;
    let mut closed = walk.close();
    let between = closed.number + 1..next;
    let mut known = state.before.iter();
    if known.any(|number| between.contains(number) && !is_there(segments, *number)) {
        // One that was taken away since held what is missing.
        return closed;
    }
    let jumped: i64 = state.jumps.iter().map(|(_, lost)| lost.end - lost.start).sum();
    if nameless > 0 && jumped as u64 <= nameless {
        name_lost(&mut closed, &state.jumps);
    }
    closed
}

/// Where to begin, and what was known there: at `first`, or earlier if nothing else says what the notes were.
fn begin<S: Storage>(
    storage: &S,
    segments: &[Listed],
    mut first: usize,
    proven: Seq,
    salt: u64,
) -> Result<(State, usize), OpenError> {
    let mut state = State::default();
    while !state.known && first > 0 {
        if let Some(checkpoint) = closing_checkpoint(storage, &segments[first - 1], salt)? {
            state.begin(checkpoint);
        } else if says_first(&segments[first], proven) && opens_whole(storage, &segments[first], salt)? {
            break;
        } else {
            first -= 1;
        }
    }
    let header = segments.first().and_then(|listed| listed.header);
    if first == 0 && header.is_some_and(|header| header.first_seq == 1) {
        // Before the first entry of all there was nothing to know.
        state.known = true;
    }
    Ok((state, first))
}

/// The number of a segment's first entry, as its head says, or what it opens with.
fn first_seq<S: Storage>(storage: &S, listed: &Listed, salt: u64) -> Result<Option<Seq>, OpenError> {
    match listed.header {
        Some(header) => Ok(Some(header.first_seq)),
        None => opening_seq(storage, listed, salt),
    }
}

fn is_there(segments: &[Listed], number: u64) -> bool {
    let found = segments.binary_search_by_key(&number, |listed| listed.number);
    found.is_ok()
}

/// Whether what a segment begins with cannot turn out to be torn.
fn says_first(listed: &Listed, proven: Seq) -> bool {
    listed.begins_whole() || listed.header.is_some_and(|header| header.first_seq < proven)
}

/// Hands over what was found out on the way.
fn finish<F>(replay: &mut Replay<F>, mut state: State, segments: &[Listed]) {
    let left = replay.first > 0 || replay.tail.active.is_some() || !replay.tail.closed.is_empty();
    replay.opened.notes_lost = left && !state.known;
    for number in std::mem::take(&mut state.segments) {
        if !is_there(segments, number) {
            replay.opened.damaged.push(Damage {
                segment: number,
                position: 0,
                slot: None,
                offset: None,
                what: "the segment is missing; if the disk was full before the last end, retention may have let it go without room to say so".to_owned(),
            });
        }
    }
    if state.nameless > 0 {
        // It may have been of a slot that nothing else knows.
        state.next.entry(NO_SLOT).or_default();
    }
    for next in state.next.values_mut() {
        *next += state.nameless as i64;
    }
    replay.tail.next = state.next;
    replay.tail.notes = state.notes;
    replay.tail.boundary = state.boundary.unwrap_or_else(|| {
        let listed = &segments[replay.first.saturating_sub(1)];
        Boundary {
            number: listed.number,
            position: if replay.first > 0 { listed.length } else { FRONT },
        }
    });
    replay.tail.unproven = state.unproven;
    replay.tail.marked = state.marked;
    // What said more is cut off with the rest.
    replay.tail.proven = replay.tail.proven.min(replay.tail.next_seq);
}
