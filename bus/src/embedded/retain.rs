//! Which of a partition's records retention lets go: whole closed segments of it, oldest first. Pure.

use relay_log::Span;

/// What a partition keeps.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Keep {
    /// Records younger than this, in milliseconds.
    pub age_ms: Option<i64>,
    /// At least so many bytes of the newest.
    pub bytes: Option<u64>,
    /// What lies from this offset on has still to be read by a group: only `bytes` lets go of it.
    pub unread_from: Option<i64>,
}

/// What retention lets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LetGo {
    /// The lowest offset that stays.
    pub low: i64,
    /// How many offsets below it a group had still to read.
    pub unread: i64,
}

/// What may go of `spans`, which are ordered by offset; the segment that is written stays.
pub(super) fn let_go(spans: &[Span], keep: Keep, now_ms: i64) -> Option<LetGo> {
    let mut held: u64 = spans.iter().map(|span| span.bytes).sum();
    let mut let_go = None;
    let mut unread = 0;
    for (at, span) in spans.iter().enumerate().take_while(|(_, span)| !span.open) {
        let newest_ms = stamped(&spans[at..], now_ms);
        let too_old = keep
            .age_ms
            .is_some_and(|age| newest_ms.saturating_add(age) <= now_ms);
        // Never below the limit: what is kept is at least `bytes`, at most one span more.
        let too_much = keep.bytes.is_some_and(|limit| held - span.bytes >= limit);
        let still_unread = keep
            .unread_from
            .map_or(0, |from| (span.end - span.first.max(from)).max(0));
        if !too_much && (!too_old || still_unread > 0) {
            break;
        }
        held -= span.bytes;
        unread += still_unread;
        let_go = Some(LetGo {
            low: span.end,
            unread,
        });
    }
    let_go
}

/// When the newest record of the first span was appended. A clock that was ahead for a while stamped records into the future;
/// they are as old as the next that were not, so that nothing behind them waits for ever.
fn stamped(spans: &[Span], now_ms: i64) -> i64 {
    let newest = spans.first().map_or(now_ms, |span| span.newest_ms);
    if newest <= now_ms {
        return newest;
    }
    let sane = spans
        .iter()
        .map(|span| span.oldest_ms)
        .find(|stamp| *stamp <= now_ms);
    sane.unwrap_or(now_ms)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use relay_clock::millis;

    fn span(segment: u64, open: bool) -> Span {
        let segment_ms = segment as i64 * 1000;
        Span {
            segment,
            open,
            first: segment as i64 * 10,
            end: segment as i64 * 10 + 10,
            bytes: 100,
            oldest_ms: segment_ms,
            newest_ms: segment_ms,
        }
    }

    /// Three closed segments of ten records, and the open one.
    fn spans() -> Vec<Span> {
        (0..4).map(|segment| span(segment, segment == 3)).collect()
    }

    fn low(keep: Keep, now_ms: i64) -> i64 {
        let_go(&spans(), keep, now_ms).map_or(0, |let_go| let_go.low)
    }

    #[test]
    fn what_is_kept_longer_than_can_be_counted_is_kept_for_ever() {
        let keep = Keep {
            age_ms: Some(millis(Duration::MAX)),
            ..Keep::default()
        };
        assert_eq!(low(keep, i64::MAX - 1), 0);
    }

    #[test]
    fn age_and_bytes_take_the_oldest_closed_segments_and_nothing_else() {
        let age = |age_ms| Keep {
            age_ms: Some(age_ms),
            ..Keep::default()
        };
        let bytes = |bytes| Keep {
            bytes: Some(bytes),
            ..Keep::default()
        };
        let cases = [
            ("nothing set", Keep::default(), 1_000_000, 0),
            ("too young", age(5000), 4999, 0),
            ("the first is old", age(5000), 5000, 10),
            ("all old, the last still open", age(0), 1_000_000, 30),
            ("bytes keep at least the limit", bytes(250), 0, 10),
            ("more bytes than there are", bytes(400), 0, 0),
        ];
        for (name, keep, now, expected) in cases {
            assert_eq!(low(keep, now), expected, "{name}");
        }
    }

    #[test]
    fn what_a_group_has_still_to_read_stays_unless_the_bound_on_bytes_says_so() {
        let keep = Keep {
            age_ms: Some(0),
            bytes: None,
            unread_from: Some(15),
        };
        let gone = let_go(&spans(), keep, 1_000_000);
        assert_eq!(gone, Some(LetGo { low: 10, unread: 0 }));
        let keep = Keep {
            bytes: Some(150),
            ..keep
        };
        let gone = let_go(&spans(), keep, 1_000_000);
        assert_eq!(gone, Some(LetGo { low: 20, unread: 5 }));
    }

    #[test]
    fn records_stamped_into_the_future_are_as_old_as_those_behind_them() {
        let mut spans = spans();
        (spans[0].oldest_ms, spans[0].newest_ms) = (900_000, 900_000);
        let keep = Keep {
            age_ms: Some(5000),
            ..Keep::default()
        };
        assert_eq!(let_go(&spans, keep, 5999), None);
        let gone = let_go(&spans, keep, 6000);
        assert_eq!(gone, Some(LetGo { low: 20, unread: 0 }));
    }
}
