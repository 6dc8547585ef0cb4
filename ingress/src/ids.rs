//! Ids of requests, and which names a tenant may have. Pure, but for [`Ids`].

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

/// Makes new ids.
#[derive(Debug, Clone)]
pub struct Ids {
    /// When.
    pub clock: Clock,
    /// What tells them apart.
    pub chance: Chance,
}

impl Ids {
    /// A new id, in order of time.
    pub fn fresh(&self) -> RequestId {
        fresh(self.clock.now(), self.chance.draw())
    }
}

fn fresh(now: TimestampMs, random: [u8; 10]) -> RequestId {
    let millis = u64::try_from(now.0).unwrap_or(0);
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
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
            fresh(TimestampMs(7), [255; 10]),
            keyed(&TenantId::new("a.b"), "x.y *>", 7),
        ] {
            assert!(
                id.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric()),
                "{id}"
            );
        }
    }

    #[test]
    fn new_ids_are_in_order_of_time_and_what_is_drawn_tells_those_of_one_moment_apart() {
        let early = fresh(TimestampMs(1_764_543_600_000), [255; 10]);
        let late = fresh(TimestampMs(1_764_543_600_001), [0; 10]);
        assert!(early < late);
        assert_eq!(late.as_str(), "019ad6fe958170008000000000000000");
        assert_ne!(late, fresh(TimestampMs(1_764_543_600_001), [1; 10]));
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
