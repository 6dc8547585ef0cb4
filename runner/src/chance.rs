//! Where what is left to chance comes from: handed down like the clock, so that a simulation draws the same again.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::distr::{Distribution, StandardUniform};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// Draws at random. Cheap to clone; all clones draw from one source.
#[derive(Clone, Default)]
pub struct Chance(Source);

#[derive(Clone, Default)]
enum Source {
    #[default]
    System,
    Seeded(Arc<Mutex<StdRng>>),
}

impl Chance {
    /// What nobody can foretell.
    pub fn system() -> Self {
        Self::default()
    }

    /// The same draws for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self(Source::Seeded(Arc::new(Mutex::new(StdRng::seed_from_u64(seed)))))
    }

    /// Any value, each as likely as the others.
    pub fn draw<T>(&self) -> T
    where
        StandardUniform: Distribution<T>,
    {
        match &self.0 {
            Source::System => rand::random(),
            Source::Seeded(draws) => draws.lock().random(),
        }
    }
}

impl fmt::Debug for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::System => "Chance(system)",
            Source::Seeded(_) => "Chance(seeded)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(chance: &Chance) -> [u64; 8] {
        std::array::from_fn(|_| chance.draw())
    }

    #[test]
    fn the_same_seed_draws_the_same_and_all_clones_draw_from_one_source() {
        let (first, again) = (Chance::seeded(7), Chance::seeded(7));
        let drawn = draws(&first);
        assert_eq!(drawn, draws(&again));
        assert_ne!(drawn, draws(&Chance::seeded(8)));
        let clone = again.clone();
        assert_ne!(draws(&clone), drawn, "it goes on where the other one stopped");
        assert_ne!(draws(&Chance::system()), draws(&Chance::system()));
    }
}
