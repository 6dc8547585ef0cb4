//! Ids of requests, and which names a tenant may have. Pure, but for [`Ids`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use relay_clock::Clock;
use relay_runner::Chance;
use relay_schemas::{RequestId, TenantId, TimestampMs};
use sha2::{Digest, Sha256};

/// SHA-256 over `parts`, 64 lower-case hexadecimal digits.
pub fn sha256_hex(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    format!("{:x}", hash.finalize())
}

/// Bits of a place within a millisecond.
const PLACE_BITS: u32 = 12;

/// Makes new ids: UUIDs of version 7, those of one ingress in the order in which they were made.
#[derive(Debug, Clone)]
pub struct Ids {
    clock: Clock,
    chance: Chance,
    /// The millisecond of the newest id, and its place in that.
    newest: Arc<AtomicU64>,
}

impl Ids {
    /// None of them was made yet.
    pub fn new(clock: Clock, chance: Chance) -> Self {
        Self {
            clock,
            chance,
            newest: Arc::default(),
        }
    }

    /// A new id, behind all that were made before it, also where the clock was set back.
    pub fn fresh(&self) -> RequestId {
        let (now, random) = (self.clock.now(), self.chance.draw());
        let newest = &self.newest;
        let made = newest.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |newest| {
            Some(next(newest, now))
        });
        let (Ok(before) | Err(before)) = made;
        named(next(before, now), random)
    }
}

/// The place behind `newest`: the first of this millisecond, or the one after it.
fn next(newest: u64, now: TimestampMs) -> u64 {
    let first = u64::try_from(now.0).unwrap_or(0) << PLACE_BITS;
    first.max(newest + 1)
}

/// What is drawn tells the ids of two ingresses apart.
fn named(place: u64, mut random: [u8; 10]) -> RequestId {
    // The twelve bits behind the milliseconds count, as RFC 9562 has it in 6.2, method 1.
    [random[0], random[1]] = ((place % (1 << PLACE_BITS)) as u16).to_be_bytes();
    let id = uuid::Builder::from_unix_timestamp_millis(place >> PLACE_BITS, &random).into_uuid();
    RequestId::new(id.simple().to_string())
}

/// The id that every repeat under the same idempotency key meets, in its n-th try, from 0.
pub fn keyed(tenant: &TenantId, key: &str, number: u32) -> RequestId {
    derived('k', &[tenant.as_str(), key, &number.to_string()])
}

/// The id that every repeat of the same batch line meets.
pub fn batch(tenant: &TenantId, batch: &str, custom: &str) -> RequestId {
    derived('b', &[tenant.as_str(), batch, custom])
}

/// Each part goes in with its length, so that no two lists of parts look alike.
fn derived(kind: char, parts: &[&str]) -> RequestId {
    let lengths: Vec<[u8; 8]> = parts
        .iter()
        .map(|part| (part.len() as u64).to_be_bytes())
        .collect();
    let pieces: Vec<&[u8]> = lengths
        .iter()
        .zip(parts)
        .flat_map(|(length, part)| [length.as_slice(), part.as_bytes()])
        .collect();
    RequestId::new(format!("{kind}{}", &sha256_hex(&pieces)[..40]))
}

/// Whether `text` may name a tenant: 1 to 64 of `A-Z a-z 0-9 . _ -`, beginning with a letter or digit.
pub fn is_tenant(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=64).contains(&text.len()) && text.as_bytes()[0].is_ascii_alphanumeric() && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cannot_be_moved_between_the_fields_of_an_id() {
        let tenant = TenantId::new("t");
        assert_ne!(batch(&tenant, "ab", "c"), batch(&tenant, "a", "bc"));
        assert_ne!(keyed(&tenant, "ab", 0), keyed(&TenantId::new("ta"), "b", 0));
        assert_ne!(keyed(&tenant, "ab", 1), keyed(&tenant, "ab1", 0));
        assert_eq!(keyed(&tenant, "ab", 0), keyed(&tenant, "ab", 0));
    }

    #[test]
    fn ids_are_single_tokens_of_a_subject() {
        for id in [
            named(next(0, TimestampMs(7)), [255; 10]),
            keyed(&TenantId::new("a.b"), "x.y *>", 7),
        ] {
            assert!(
                id.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric()),
                "{id}"
            );
        }
    }

    #[test]
    fn new_ids_are_in_the_order_of_their_making_also_within_a_millisecond_and_where_the_clock_is_set_back() {
        let (clock, manual) = Clock::manual(TimestampMs(1_764_543_600_000));
        let ids = Ids::new(clock, Chance::system());
        let other = ids.clone();
        let mut made = vec![ids.fresh()];
        for moved in [0, 1, 0, -3_600_000, 0] {
            let now = ids.clock.now();
            manual.step_to(now.plus_ms(moved));
            made.extend((0..5_000).map(|number| {
                if number % 2 == 0 {
                    ids.fresh()
                } else {
                    other.fresh()
                }
            }));
        }
        assert!(made.is_sorted_by(|one, next| one < next));
    }

    #[test]
    fn an_id_begins_with_its_time_and_what_is_drawn_tells_those_of_two_ingresses_apart() {
        let place = next(0, TimestampMs(1_764_543_600_001));
        assert_eq!(named(place, [0; 10]).as_str(), "019ad6fe958170008000000000000000");
        assert_eq!(
            named(place + 1, [0; 10]).as_str(),
            "019ad6fe958170018000000000000000"
        );
        assert_ne!(named(place, [0; 10]), named(place, [1; 10]));
    }

    #[test]
    fn a_tenant_name_is_plain_and_short() {
        for good in ["default", "a", "Team-7_x.y", &"a".repeat(64)] {
            assert!(is_tenant(good), "{good}");
        }
        for bad in ["", "-a", ".", "a b", "ä", "a/b", "a\n", &"a".repeat(65)] {
            assert!(!is_tenant(bad), "{bad:?}");
        }
    }
}
