//! Quantiles of a sample; small enough to sort.

/// The values at `quantiles` (0 to 1) of `sample`, by the nearest-rank method; zeros where the sample is empty.
pub fn of<const N: usize>(sample: Vec<f64>, quantiles: [f64; N]) -> [f64; N] {
    let sample = sorted(sample);
    quantiles.map(|quantile| {
        let rank = (quantile * sample.len() as f64).ceil() as usize;
        sample.get(rank.max(1) - 1).copied().unwrap_or_default()
    })
}

/// The middle value, or the mean of the middle two; zero where the sample is empty. For the few figures of repeated runs, where
/// the nearest rank would quote the better of two.
pub fn median(sample: Vec<f64>) -> f64 {
    let sample = sorted(sample);
    let last = sample.len().saturating_sub(1);
    let middle = [last / 2, last.div_ceil(2)];
    let sum: f64 = middle.iter().filter_map(|at| sample.get(*at)).sum();
    sum / 2.0
}

fn sorted(mut sample: Vec<f64>) -> Vec<f64> {
    sample.sort_by(f64::total_cmp);
    sample
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::float_cmp,
        reason = "nearest ranks are values of the sample, to the bit; halves of small integers are exact"
    )]

    #[test]
    fn the_nearest_rank_is_a_value_of_the_sample() {
        assert_eq!(
            super::of(vec![4.0, 1.0, 3.0, 2.0], [0.5, 0.95, 1.0]),
            [2.0, 4.0, 4.0]
        );
        assert_eq!(super::of(Vec::new(), [0.5]), [0.0]);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(super::median(vec![9.0, 1.0, 5.0]), 5.0);
        assert_eq!(super::median(vec![4.0, 1.0]), 2.5);
        assert_eq!(super::median(vec![9.0, 1.0, 3.0, 4.0]), 3.5);
        assert_eq!(super::median(vec![7.0]), 7.0);
        assert_eq!(super::median(Vec::new()), 0.0);
    }
}
