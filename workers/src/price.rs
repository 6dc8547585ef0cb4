//! What a run costs. Pure.

use relay_schemas::{MicroUsd, Usage};

use crate::models::Price;

/// The cost of a run, rounded to the nearest micro-USD. Saturates.
pub fn cost(price: Price, usage: Usage, compute_ms: i64) -> MicroUsd {
    const MILLION: u128 = 1_000_000;
    let part = |price: u64, amount: u64| u128::from(price) * u128::from(amount);
    let sum = part(price.prompt, u64::from(usage.prompt_tokens.0))
        + part(price.completion, u64::from(usage.completion_tokens.0))
        + part(price.compute_ms, u64::try_from(compute_ms).unwrap_or(0));
    MicroUsd(i64::try_from((sum + MILLION / 2) / MILLION).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use relay_schemas::TokenCount;

    use super::*;

    #[test]
    fn each_part_is_priced_by_the_million_and_the_sum_is_rounded_once() {
        let usage = Usage {
            prompt_tokens: TokenCount(1_000),
            completion_tokens: TokenCount(500),
        };
        let price = |prompt, completion, compute_ms| Price {
            prompt,
            completion,
            compute_ms,
        };
        assert_eq!(cost(price(3_000_000, 0, 0), usage, 9), MicroUsd(3_000));
        assert_eq!(cost(price(0, 15_000_000, 0), usage, 9), MicroUsd(7_500));
        assert_eq!(cost(price(0, 0, 2_000_000), usage, 250), MicroUsd(500));
        assert_eq!(
            cost(price(300, 400, 0), usage, 0),
            MicroUsd(1),
            "0.3 + 0.2 rounds up together"
        );
        assert_eq!(
            cost(price(u64::MAX, u64::MAX, u64::MAX), usage, i64::MAX),
            MicroUsd(i64::MAX)
        );
    }
}
