//! What a connection is doing, and how long it may go on so.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What bounds the connections of one listener.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionBounds {
    /// Most at once; where none of them is idle, further ones wait.
    pub most_connections: usize,
    /// Longest time from a connection to its first request: to the end of that one's headers.
    pub headers: Duration,
    /// How long a connection may go without a request once it has had one.
    pub idle: Duration,
    /// How long a client may take nothing of what it is answered.
    pub unread: Duration,
}

/// What a connection is doing. A response counts from the end of its request's headers until the operating system has its last byte:
/// what a client reads slowly is still being answered.
#[derive(Debug)]
pub(super) struct Activity {
    responses: BTreeMap<ResponseId, Unread>,
    next: ResponseId,
    /// Since when there is no response.
    idle_since: Instant,
    /// Whether there ever was one.
    asked: bool,
    /// It has been told to end.
    leaving: bool,
}

/// One response of a connection.
pub(super) type ResponseId = u64;

/// How long a connection must have been idle to make room.
const SPARE: Duration = Duration::from_millis(100);

/// What a response has for the peer, and since when the peer takes nothing of it. What is not asked for, because the peer has closed its
/// window, counts like what is not taken: whether there is something is not known before it is asked for.
#[derive(Debug, Default)]
struct Unread {
    bytes: usize,
    /// Its head is there, and what comes next has not been asked for.
    unasked: bool,
    since: Option<Instant>,
}

/// What has gone on for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    /// A connection that never asked for anything.
    Silent,
    /// A connection that has had no request for a while.
    Idle,
    /// A response of which the peer takes nothing.
    Unread(ResponseId),
}

impl Activity {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            responses: BTreeMap::new(),
            next: 0,
            idle_since: now,
            asked: false,
            leaving: false,
        }
    }

    /// A request's headers are there.
    pub(super) fn begin(&mut self) -> ResponseId {
        self.asked = true;
        self.next += 1;
        self.responses.insert(self.next, Unread::default());
        self.next
    }

    /// A response's head is there: its body may be asked for from now on.
    pub(super) fn answer(&mut self, response: ResponseId, now: Instant) {
        self.offer(response, 0, now);
    }

    /// A response has `bytes` more for the peer.
    pub(super) fn offer(&mut self, response: ResponseId, bytes: usize, now: Instant) {
        if let Some(unread) = self.responses.get_mut(&response) {
            unread.bytes += bytes;
            unread.unasked = true;
            unread.since.get_or_insert(now);
        }
    }

    /// A response was asked for more and has nothing yet.
    pub(super) fn wait(&mut self, response: ResponseId) {
        if let Some(unread) = self.responses.get_mut(&response) {
            unread.unasked = false;
            unread.since = unread.since.filter(|_| unread.bytes > 0);
        }
    }

    /// The peer took `bytes` of what it was offered.
    pub(super) fn take(&mut self, response: ResponseId, bytes: usize, now: Instant) {
        if let Some(unread) = self.responses.get_mut(&response) {
            unread.bytes = unread.bytes.saturating_sub(bytes);
            unread.since = (unread.bytes > 0 || unread.unasked).then_some(now);
        }
    }

    /// Whether the peer has yet to take something of a response.
    pub(super) fn is_unread(&self, response: ResponseId) -> bool {
        self.responses
            .get(&response)
            .is_some_and(|unread| unread.bytes > 0)
    }

    /// A response has ended, or was given up before: then nothing happens.
    pub(super) fn end(&mut self, response: ResponseId, now: Instant) {
        let ended = self.responses.remove(&response);
        if ended.is_some() && self.responses.is_empty() {
            self.idle_since = now;
        }
    }

    /// It has been told to end.
    pub(super) fn leave(&mut self) {
        self.leaving = true;
    }

    /// Whether nothing is being answered.
    pub(super) fn is_idle(&self) -> bool {
        self.responses.is_empty()
    }

    /// Since when it could make room for another one; none while it is answered, where it already does, and just after it was made
    /// or answered: then the next request may be on its way.
    pub(super) fn spare_since(&self, now: Instant) -> Option<Instant> {
        let spare = self.is_idle() && !self.leaving && now >= later(self.idle_since, SPARE);
        spare.then_some(self.idle_since)
    }

    /// What is overdue next, and when, if nothing happens until then.
    pub(super) fn due(&self, bounds: &ConnectionBounds) -> Option<(Instant, Overdue)> {
        if !self.is_idle() {
            let unread = |(id, unread): (&ResponseId, &Unread)| Some((unread.since?, *id));
            let (since, id) = self.responses.iter().filter_map(unread).min()?;
            return Some((later(since, bounds.unread), Overdue::Unread(id)));
        }
        Some(if self.asked {
            (later(self.idle_since, bounds.idle), Overdue::Idle)
        } else {
            (later(self.idle_since, bounds.headers), Overdue::Silent)
        })
    }
}

/// A bound too far away to be told is a year away.
pub(super) fn later(instant: Instant, duration: Duration) -> Instant {
    let year = Duration::from_hours(24 * 365);
    instant + duration.min(year)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: ConnectionBounds = ConnectionBounds {
        most_connections: 1,
        headers: Duration::from_secs(10),
        idle: Duration::from_secs(60),
        unread: Duration::from_secs(30),
    };

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    fn start() -> (Instant, Activity) {
        let start = relay_clock::Clock::system().instant();
        (start, Activity::new(start))
    }

    #[test]
    fn a_connection_that_never_asks_has_the_time_of_headers() {
        let (start, mut activity) = start();
        assert_eq!(activity.due(&BOUNDS), Some((after(start, 10), Overdue::Silent)));
        assert_eq!(activity.spare_since(start), None, "its request may be on its way");
        assert_eq!(activity.spare_since(after(start, 1)), Some(start));
        activity.leave();
        assert_eq!(activity.spare_since(after(start, 1)), None, "it makes room once");
    }

    #[test]
    fn one_that_has_asked_may_be_idle_for_longer_and_is_never_idle_while_it_is_answered() {
        let (start, mut activity) = start();
        let (first, second) = (activity.begin(), activity.begin());
        assert_eq!(
            (activity.due(&BOUNDS), activity.spare_since(after(start, 5))),
            (None, None)
        );
        activity.end(first, after(start, 5));
        assert_eq!((activity.due(&BOUNDS), activity.is_idle()), (None, false));
        activity.end(second, after(start, 7));
        activity.end(second, after(start, 9));
        assert_eq!(activity.due(&BOUNDS), Some((after(start, 67), Overdue::Idle)));
        assert_eq!(activity.spare_since(after(start, 8)), Some(after(start, 7)));
    }

    #[test]
    fn an_answer_that_is_not_asked_for_is_overdue_whatever_it_would_say() {
        let (start, mut activity) = start();
        let response = activity.begin();
        assert_eq!(activity.due(&BOUNDS), None, "it is not there yet");
        activity.answer(response, after(start, 1));
        let due = |activity: &Activity| activity.due(&BOUNDS).map(|(at, _)| at);
        assert_eq!(due(&activity), Some(after(start, 31)));
        activity.wait(response);
        assert_eq!(due(&activity), None, "it has nothing to say");
        activity.offer(response, 10, after(start, 2));
        activity.take(response, 10, after(start, 3));
        assert_eq!(
            due(&activity),
            Some(after(start, 33)),
            "nothing more is asked for"
        );
        activity.wait(response);
        activity.offer(response, 10, after(start, 4));
        activity.wait(response);
        assert_eq!(due(&activity), Some(after(start, 34)), "it is not taken");
        activity.take(response, 10, after(start, 5));
        assert_eq!(due(&activity), None);
    }

    #[test]
    fn an_answer_of_which_nothing_is_taken_is_overdue_and_one_that_has_nothing_to_say_is_not() {
        let (start, mut activity) = start();
        let (quiet, full) = (activity.begin(), activity.begin());
        activity.offer(full, 100, start);
        activity.offer(full, 100, after(start, 20));
        assert_eq!(
            activity.due(&BOUNDS),
            Some((after(start, 30), Overdue::Unread(full)))
        );
        activity.take(full, 1, after(start, 29));
        assert_eq!(
            activity.due(&BOUNDS),
            Some((after(start, 59), Overdue::Unread(full))),
            "a little is enough"
        );
        activity.wait(full);
        activity.take(full, 199, after(start, 40));
        assert_eq!((activity.due(&BOUNDS), activity.is_unread(full)), (None, false));
        activity.end(quiet, after(start, 41));
        assert!(!activity.is_idle(), "the end of the full one is still to come");
    }
}
