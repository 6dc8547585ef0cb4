//! Choosing the next token. Pure: equal logits, parameters and seed give equal tokens, in every release.
//!
//! The order is that of `transformers`: temperature, then `top_k`, then `top_p`. The generator is `SplitMix64` (Steele,
//! Lea and Flood, 2014), written out here so that a seed means the same after any dependency's upgrade.

use relay_schemas::Decoding;

/// Chooses the tokens of one sequence.
#[derive(Debug, Clone)]
pub struct Sampler {
    temperature: f64,
    top_p: f64,
    top_k: usize,
    state: u64,
}

impl Sampler {
    /// A sampler as the plan says; `seed` where the plan names none.
    pub fn new(decoding: &Decoding, seed: i64) -> Self {
        Self {
            temperature: decoding.temperature,
            top_p: decoding.top_p.unwrap_or(1.0),
            top_k: decoding.top_k.map_or(usize::MAX, |k| k.max(1) as usize),
            state: decoding.seed.unwrap_or(seed) as u64,
        }
    }

    /// The next token, or `None` where no logit is a number.
    pub fn next(&mut self, logits: &[f32]) -> Option<u32> {
        let best = argmax(logits)?;
        if self.temperature <= 0.0 {
            return Some(best);
        }
        let candidates = self.candidates(logits, logits[best as usize]);
        let sum: f64 = candidates.iter().map(|(_, weight)| weight).sum();
        let mut left = self.uniform() * sum;
        for (token, weight) in &candidates {
            left -= weight;
            if left < 0.0 {
                return Some(*token);
            }
        }
        // Rounding may leave a crumb over.
        candidates.last().map(|(token, _)| *token).or(Some(best))
    }

    /// What may be chosen, likeliest first where an order matters, with unnormalised weights.
    fn candidates(&self, logits: &[f32], max: f32) -> Vec<(u32, f64)> {
        let weight = |logit: f32| ((f64::from(logit) - f64::from(max)) / self.temperature).exp();
        let mut weights: Vec<(u32, f64)> = (0u32..)
            .zip(logits)
            .map(|(token, logit)| (token, weight(*logit)))
            .filter(|(_, weight)| *weight > 0.0)
            .collect();
        let by_weight = |a: &(u32, f64), b: &(u32, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if self.top_k < weights.len() {
            weights.select_nth_unstable_by(self.top_k - 1, by_weight);
            weights.truncate(self.top_k);
        }
        if self.top_p < 1.0 {
            let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
            // All that lies below this floor is together less than 1 - top_p, so the nucleus lies above it whole.
            let floor = total * (1.0 - self.top_p) / weights.len() as f64;
            weights.retain(|(_, weight)| *weight >= floor);
            weights.sort_unstable_by(by_weight);
            let mut mass = 0.0;
            let inside = weights.iter().take_while(|(_, weight)| {
                let wanted = mass < total * self.top_p;
                mass += weight;
                wanted
            });
            let inside = inside.count().max(1);
            weights.truncate(inside);
        } else if self.top_k < usize::MAX {
            // `select_nth` leaves an order that depends on the library: the draw must not.
            weights.sort_unstable_by(by_weight);
        }
        weights
    }

    /// The next number in `0.0..1.0`.
    fn uniform(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The token of the largest logit, the smallest such token; `None` where none is a number.
fn argmax(logits: &[f32]) -> Option<u32> {
    let mut best: Option<(u32, f32)> = None;
    for (token, logit) in (0u32..).zip(logits) {
        if !logit.is_nan() && best.is_none_or(|(_, most)| *logit > most) {
            best = Some((token, *logit));
        }
    }
    best.map(|(token, _)| token)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;
    use relay_schemas::samples;

    use super::*;

    fn decoding(temperature: f64, top_p: Option<f64>, top_k: Option<u32>) -> Decoding {
        Decoding {
            temperature,
            top_p,
            top_k,
            ..samples::decoding()
        }
    }

    fn draw(decoding: &Decoding, seed: i64, logits: &[f32], times: usize) -> Vec<u32> {
        let mut sampler = Sampler::new(decoding, seed);
        (0..times).map(|_| sampler.next(logits).unwrap()).collect()
    }

    #[test]
    fn temperature_zero_takes_the_largest_and_the_first_of_equals() {
        let greedy = decoding(0.0, None, None);
        assert_eq!(draw(&greedy, 1, &[0.1, 3.0, f32::NAN, 3.0], 2), [1, 1]);
        assert_eq!(Sampler::new(&greedy, 0).next(&[f32::NAN]), None);
    }

    #[test]
    fn a_seed_gives_the_same_tokens_for_ever() {
        let logits = [0.0, 0.5, 1.0, 1.5];
        let drawn = draw(&decoding(1.0, None, None), 42, &logits, 12);
        assert_eq!(drawn, draw(&decoding(1.0, None, None), 42, &logits, 12));
        assert_eq!(drawn, GOLDEN, "a release changed what a seed means");
        assert_ne!(drawn, draw(&decoding(1.0, None, None), 43, &logits, 12));
    }

    /// Worked out apart, from the paper's generator.
    const GOLDEN: [u32; 12] = [3, 1, 2, 2, 0, 3, 1, 3, 2, 3, 1, 2];

    #[test]
    fn frequencies_follow_the_distribution() {
        // Weights 1 : 3 at temperature 1; squared at temperature 0.5.
        let logits = [0.0, 3.0f32.ln()];
        for (temperature, expected) in [(1.0, 0.75), (0.5, 0.9)] {
            let drawn = draw(&decoding(temperature, None, None), 7, &logits, 20_000);
            let share = drawn.iter().filter(|token| **token == 1).count() as f64 / 20_000.0;
            assert!((share - expected).abs() < 0.01, "{share} at {temperature}");
        }
    }

    #[test]
    fn top_k_and_top_p_leave_only_the_likeliest() {
        let logits = [0.0, 1.0, 2.0, 3.0];
        let seen = |decoding| {
            let mut seen = draw(&decoding, 3, &logits, 400);
            seen.sort_unstable();
            seen.dedup();
            seen
        };
        assert_eq!(seen(decoding(1.0, None, Some(2))), [2, 3]);
        assert_eq!(seen(decoding(1.0, Some(0.0), None)), [3], "at least one");
        // Shares: 0.032, 0.087, 0.237, 0.644.
        assert_eq!(seen(decoding(1.0, Some(0.65), None)), [2, 3]);
        assert_eq!(seen(decoding(1.0, Some(0.64), None)), [3]);
        assert_eq!(seen(decoding(1.0, Some(0.99), Some(3))), [1, 2, 3]);
    }

    proptest! {
        #[test]
        fn the_nucleus_is_the_one_that_sorting_everything_gives(
            logits in prop::collection::vec(-20.0f32..20.0, 1..200), top_p in 0.01f64..1.0,
        ) {
            let sampler = Sampler::new(&decoding(1.0, Some(top_p), None), 0);
            let max = logits.iter().copied().fold(f32::MIN, f32::max);
            let mut all: Vec<(u32, f64)> = (0u32..).zip(&logits)
                .map(|(token, logit)| (token, (f64::from(*logit) - f64::from(max)).exp())).collect();
            let total: f64 = all.iter().map(|(_, weight)| weight).sum();
            all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            let mut mass = 0.0;
            let expected: Vec<u32> = all.iter()
                .take_while(|(_, weight)| { let wanted = mass < total * top_p; mass += weight; wanted })
                .map(|(token, _)| *token).collect();
            let kept: Vec<u32> = sampler.candidates(&logits, max).iter().map(|(token, _)| *token).collect();
            prop_assert_eq!(kept, expected);
        }

        #[test]
        fn whatever_the_logits_a_token_of_the_vocabulary_is_chosen(
            logits in prop::collection::vec(prop::num::f32::ANY, 1..50), temperature in 0.0f64..3.0,
            top_p in prop::option::of(0.0f64..1.0), top_k in prop::option::of(0u32..60), seed: i64,
        ) {
            let mut sampler = Sampler::new(&decoding(temperature, top_p, top_k), seed);
            match sampler.next(&logits) {
                Some(token) => prop_assert!((token as usize) < logits.len()),
                None => prop_assert!(logits.iter().all(|logit| logit.is_nan())),
            }
        }
    }
}
