//! The exact cache key: where identical requests meet, and tenants never do.

use relay_schemas::TenantId;

use crate::Digest;

/// SHA-256 of tenant, request hash and plan signature. The planner keys its records by it, the cache its entries.
pub fn cache_key(tenant: &TenantId, request_hash: &str, signature: &str) -> String {
    Digest::new("relay.cache-key.v1")
        .field("tenant", tenant.as_str())
        .field("request_hash", request_hash)
        .field("signature", signature)
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_cannot_leak_into_its_neighbour() {
        let one = cache_key(&TenantId::new("ab"), "c", "d");
        for (tenant, hash, signature) in [
            ("a", "bc", "d"),
            ("ab", "cd", ""),
            ("ab", "", "cd"),
            ("abc", "", "d"),
        ] {
            assert_ne!(
                one,
                cache_key(&TenantId::new(tenant), hash, signature),
                "{tenant} {hash} {signature}"
            );
        }
    }

    #[test]
    fn the_encoding_is_the_documented_one() {
        // printf 'relay.cache-key.v1\ntenant:4:acme\nrequest_hash:2:ab\nsignature:2:cd\n' | sha256sum
        let expected = "47f1429cb0c88bb43f01dbcd9799f29a2dda3c2213d375363accbaedcc78904f";
        assert_eq!(cache_key(&TenantId::new("acme"), "ab", "cd"), expected);
    }
}
