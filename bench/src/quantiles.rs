//! Quantiles of a sample; small enough to sort.

/// The values at `quantiles` (0 to 1) of `sample`, by the nearest-rank method; zeros where the sample is empty.
pub fn of<const N: usize>(mut sample: Vec<f64>, quantiles: [f64; N]) -> [f64; N] {
    sample.sort_by(f64::total_cmp);
    quantiles.map(|quantile| {
        let rank = (quantile * sample.len() as f64).ceil() as usize;
        sample.get(rank.max(1) - 1).copied().unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::float_cmp,
        reason = "nearest ranks are values of the sample, to the bit"
    )]

    #[test]
    fn the_nearest_rank_is_a_value_of_the_sample() {
        assert_eq!(
            super::of(vec![4.0, 1.0, 3.0, 2.0], [0.5, 0.95, 1.0]),
            [2.0, 4.0, 4.0]
        );
        assert_eq!(super::of(Vec::new(), [0.5]), [0.0]);
    }
}
