//! Which of a partition's spans retention lets go: oldest first, by age and by bytes, only closed ones.

use std::collections::VecDeque;
use std::time::Duration;

/// The records of one partition in one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub epoch: u32,
    pub first: i64,
    /// One past the last offset.
    pub end: i64,
    pub bytes: u64,
    /// The newest append, milliseconds since 1970.
    pub newest_ms: i64,
}

/// What a topic keeps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retention {
    pub age_ms: Option<i64>,
    pub bytes: Option<u64>,
}

/// What is longer than can be counted is for ever.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// How many spans, from the oldest, may go. `open_epoch` is still being written.
pub(super) fn expired(spans: &VecDeque<Span>, keep: Retention, now_ms: i64, open_epoch: u32) -> usize {
    let mut held: u64 = spans.iter().map(|span| span.bytes).sum();
    let mut gone = 0;
    for span in spans.iter().take_while(|span| span.epoch < open_epoch) {
        let too_old = keep
            .age_ms
            .is_some_and(|age| span.newest_ms.saturating_add(age) <= now_ms);
        // Never below the limit: what is kept is at least `bytes`, at most one span more.
        let too_much = keep.bytes.is_some_and(|limit| held - span.bytes >= limit);
        if !too_old && !too_much {
            break;
        }
        held -= span.bytes;
        gone += 1;
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_longer_than_can_be_counted_is_kept_for_ever() {
        let old = Span {
            epoch: 0,
            first: 0,
            end: 1,
            bytes: 1,
            newest_ms: 1,
        };
        let keep = Retention {
            age_ms: Some(millis(Duration::MAX)),
            bytes: None,
        };
        assert_eq!(expired(&VecDeque::from([old]), keep, i64::MAX - 1, 1), 0);
    }

    #[test]
    fn age_and_bytes_take_the_oldest_closed_spans_and_nothing_else() {
        let spans: VecDeque<Span> = (0..4)
            .map(|epoch| Span {
                epoch,
                first: i64::from(epoch) * 10,
                end: i64::from(epoch) * 10 + 10,
                bytes: 100,
                newest_ms: i64::from(epoch) * 1000,
            })
            .collect();
        let nothing = Retention {
            age_ms: None,
            bytes: None,
        };
        let cases = [
            ("nothing set", nothing, 1_000_000, 9, 0),
            (
                "too young",
                Retention {
                    age_ms: Some(5000),
                    ..nothing
                },
                4999,
                9,
                0,
            ),
            (
                "the first is old",
                Retention {
                    age_ms: Some(5000),
                    ..nothing
                },
                5000,
                9,
                1,
            ),
            (
                "all old, the last still open",
                Retention {
                    age_ms: Some(0),
                    ..nothing
                },
                1_000_000,
                3,
                3,
            ),
            (
                "bytes keep at least the limit",
                Retention {
                    bytes: Some(150),
                    ..nothing
                },
                0,
                9,
                2,
            ),
            (
                "either is enough",
                Retention {
                    age_ms: Some(0),
                    bytes: Some(1),
                },
                0,
                9,
                3,
            ),
        ];
        for (name, keep, now, open, gone) in cases {
            assert_eq!(expired(&spans, keep, now, open), gone, "{name}");
        }
    }
}
