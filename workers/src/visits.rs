//! Runs that went on with another model than the one with which they began here, and for which the scheduler gave them a turn.
//!
//! They take turns of the one that they visit, of which it therefore advertises fewer. And for as long as any is away, the one that
//! they left advertises no more than the visited one turns: else a model whose endpoint is down, and turns hundreds, would pile them
//! up before one that turns a few.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The visits of one model: to it, and of its own runs.
#[derive(Clone)]
pub struct Visits {
    count: Arc<Mutex<Count>>,
    changed: Arc<Notify>,
}

#[derive(Default)]
struct Count {
    visitors: u32,
    away: u32,
    /// What the model turns at which a run of this one is, the last that went.
    turned_there: u32,
}

/// A run at another model; over when dropped.
pub struct Visit {
    from: Visits,
    at: Visits,
}

impl Visits {
    /// None yet. `changed` is rung with each.
    pub fn new(changed: Arc<Notify>) -> Self {
        Self {
            count: Arc::default(),
            changed,
        }
    }

    /// What of `turns` is left to be advertised.
    pub fn left(&self, turns: u32) -> u32 {
        let count = self.count.lock();
        let left = turns.saturating_sub(count.visitors);
        if count.away > 0 {
            left.min(count.turned_there)
        } else {
            left
        }
    }

    /// A run of this model goes on with another, which turns so many.
    pub fn go_on(&self, at: &Self, turns: u32) -> Visit {
        {
            let mut count = self.count.lock();
            count.away += 1;
            count.turned_there = turns;
        }
        at.count.lock().visitors += 1;
        self.changed.notify_one();
        Visit {
            from: self.clone(),
            at: at.clone(),
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.from.count.lock().away -= 1;
        self.at.count.lock().visitors -= 1;
        self.from.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visit_takes_a_turn_there_and_bounds_what_the_model_that_was_left_advertises() {
        let changed = Arc::new(Notify::new());
        let [down, local] = [(); 2].map(|()| Visits::new(changed.clone()));
        let left = || (down.left(256), local.left(16));
        assert_eq!(left(), (256, 16));
        let visits = [(); 2].map(|()| down.go_on(&local, 16));
        assert_eq!(left(), (16, 14));
        drop(visits);
        assert_eq!(left(), (256, 16));
    }
}
