//! How full the disk is: new work is refused while there is still room for everything that was accepted.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use relay_log::Storage;
use relay_log::storage::Space;
use relay_settings::ByteSize;

use crate::Room;

/// How long what the disk said is taken for true.
const FRESH_MS: i64 = 100;
/// The default reserve: at most this …
const MOST_RESERVE: u64 = 256 << 20;
/// … and at most this part of the disk.
const RESERVED_PART: u64 = 20;

/// Remembers what the disk said a moment ago, so that asking is cheap.
pub(super) struct SpaceGauge {
    reserve: Option<u64>,
    asked_at: AtomicI64,
    free: AtomicU64,
    total: AtomicU64,
}

impl SpaceGauge {
    pub(super) fn new(reserve: Option<ByteSize>) -> Self {
        Self {
            reserve: reserve.map(ByteSize::as_u64),
            asked_at: AtomicI64::new(i64::MIN),
            free: AtomicU64::new(u64::MAX),
            total: AtomicU64::new(u64::MAX),
        }
    }

    /// Whether there is room for new work. A disk that does not say counts as one that has.
    pub(super) fn room(&self, disk: &impl Storage, now_ms: i64) -> Room {
        let asked_at = self.asked_at.load(Ordering::Acquire);
        if !(0..FRESH_MS).contains(&now_ms.saturating_sub(asked_at)) {
            self.asked_at.store(now_ms, Ordering::Release);
            if let Ok(Space { free, total }) = disk.free() {
                self.free.store(free, Ordering::Release);
                self.total.store(total, Ordering::Release);
            }
        }
        let (free, total) = (
            self.free.load(Ordering::Acquire),
            self.total.load(Ordering::Acquire),
        );
        judge(self.reserve, Space { free, total })
    }
}

fn judge(reserve: Option<u64>, Space { free, total }: Space) -> Room {
    let reserve = reserve.unwrap_or_else(|| MOST_RESERVE.min(total / RESERVED_PART));
    if free > reserve {
        Room::Enough
    } else {
        Room::Reserved { free, reserve }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_the_smaller_of_256_mib_and_5_percent_unless_it_is_set() {
        let mib = |mib: u64| mib << 20;
        let cases = [
            (None, 6_000, 257, true),
            (None, 6_000, 256, false),
            (None, 1_000, 51, true),
            (None, 1_000, 50, false),
            (Some(mib(10)), 1_000, 11, true),
            (Some(mib(10)), 1_000, 10, false),
            (Some(0), 1_000, 0, false),
        ];
        for (reserve, total, free, enough) in cases {
            let space = Space {
                free: mib(free),
                total: mib(total),
            };
            assert_eq!(
                judge(reserve, space) == Room::Enough,
                enough,
                "{reserve:?} {space:?}"
            );
        }
    }
}
