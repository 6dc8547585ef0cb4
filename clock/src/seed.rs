//! Seeds for the parts of a simulation. Pure, and the same with every toolchain: a seed that somebody noted says the same years later.

/// The seed of the `nth` life of `whose`, in the simulation of `seed`.
pub fn seed_of(seed: u64, whose: &str, nth: u64) -> u64 {
    // FNV-1a, which takes texts of any length; the mixing spreads what differs in a few bits.
    let name = whose.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    [name, nth]
        .into_iter()
        .fold(mixed(seed), |seed, part| mixed(seed ^ part))
}

/// A step of `SplitMix64`.
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_is_the_same_with_every_toolchain() {
        // The first number of SplitMix64 from 0, as its authors print it.
        assert_eq!(mixed(0), 0xe220_a839_7b1d_cdaf);
        let seeds = [
            seed_of(1, "sink", 1),
            seed_of(1, "sink", 2),
            seed_of(u64::MAX, "", 0),
        ];
        assert_eq!(
            seeds,
            [
                0xb0ce_393e_ce8d_cd34,
                0x13e6_b476_42e4_bd38,
                0xbe07_28ea_2a25_442b,
            ]
        );
    }

    #[test]
    fn whose_it_is_and_which_life_of_it_make_another_seed() {
        let mut seeds = BTreeSet::new();
        for seed in 0..20 {
            for whose in ["", "a", "b", "ab", "ba", "scheduler", "schedulers"] {
                seeds.extend((0..20).map(|nth| seed_of(seed, whose, nth)));
            }
        }
        assert_eq!(seeds.len(), 20 * 7 * 20);
    }
}
