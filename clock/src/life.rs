//! Whether a simulated process lives: what all of its seams ask before they do anything.
//!
//! Such a process dies by its seams. Its tasks are not looked for: none of them reaches the outside again once every call of a seam
//! pends for ever, and with the runtime they end. So a crash can fall at each await on a seam, which is each moment of a process
//! that others can tell apart.

use std::future::pending;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// What becomes of a process that calls a seam.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifeState {
    /// It does as it likes.
    Alive,
    /// It stands still, as one that the system has stopped: its calls wait, and what is sent to it queues.
    Frozen,
    /// It is gone, and nothing of it reaches the outside.
    Dead,
}

/// The life of one simulated process. A process that is started again has a new one.
#[derive(Debug)]
pub struct Life {
    state: Mutex<LifeState>,
    changed: Notify,
}

impl Default for Life {
    fn default() -> Self {
        Self {
            state: Mutex::new(LifeState::Alive),
            changed: Notify::new(),
        }
    }
}

impl Life {
    /// What a seam awaits before it acts, and again before it hands back what others might have seen: returns while the process
    /// is alive, waits while it is frozen, and pends for ever once it is dead.
    pub async fn act(&self) {
        if self.until(|state| state != LifeState::Frozen).await == LifeState::Dead {
            pending::<()>().await;
        }
    }

    /// Returns once the process is dead: for what outlives it, as a group whose member it was.
    pub async fn died(&self) {
        self.until(|state| state == LifeState::Dead).await;
    }

    /// Returns once the process does not do as it likes any more: for what goes on meanwhile without it.
    pub async fn stopped(&self) {
        self.until(|state| state != LifeState::Alive).await;
    }

    /// What it is now.
    pub fn state(&self) -> LifeState {
        *self.state.lock()
    }

    /// Ends it for good.
    pub fn kill(&self) {
        *self.state.lock() = LifeState::Dead;
        self.changed.notify_waiters();
    }

    /// Holds it, if it is alive.
    pub fn freeze(&self) {
        self.turn(LifeState::Alive, LifeState::Frozen);
    }

    /// Lets it go on, if it is frozen: the calls that waited go on in the order in which they began to wait.
    pub fn thaw(&self) {
        self.turn(LifeState::Frozen, LifeState::Alive);
    }

    fn turn(&self, from: LifeState, to: LifeState) {
        let mut state = self.state.lock();
        if *state == from {
            *state = to;
            drop(state);
            self.changed.notify_waiters();
        }
    }

    async fn until(&self, wanted: impl Fn(LifeState) -> bool) -> LifeState {
        loop {
            // Made before the look: a change after it is not missed.
            let changed = self.changed.notified();
            let state = self.state();
            if wanted(state) {
                return state;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn is_done(call: std::pin::Pin<&mut impl Future<Output = ()>>) -> bool {
        call.poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
    }

    #[test]
    fn a_process_acts_while_it_is_alive_and_never_again_once_it_is_dead() {
        let life = Life::default();
        assert!(is_done(pin!(life.act())));
        let mut died = pin!(life.died());
        assert!(!is_done(died.as_mut()));
        life.kill();
        assert!(is_done(died));
        let mut call = pin!(life.act());
        assert!(!is_done(call.as_mut()));
        life.thaw();
        assert!(!is_done(call));
        assert_eq!(life.state(), LifeState::Dead);
    }

    #[test]
    fn the_calls_of_a_frozen_process_wait_until_it_thaws() {
        let life = Life::default();
        life.freeze();
        let mut call = pin!(life.act());
        assert!(!is_done(call.as_mut()));
        life.thaw();
        assert!(is_done(call));
    }

    #[test]
    fn a_frozen_process_that_is_killed_never_goes_on() {
        let life = Life::default();
        life.freeze();
        let mut call = pin!(life.act());
        assert!(!is_done(call.as_mut()));
        life.kill();
        life.thaw();
        life.freeze();
        assert!(!is_done(call));
    }

    #[tokio::test]
    async fn what_waited_goes_on_in_the_order_in_which_it_began_to_wait() {
        let (life, order) = (Arc::new(Life::default()), Arc::new(Mutex::new(Vec::new())));
        life.freeze();
        let calls: Vec<_> = (0..8)
            .map(|call| {
                let (life, order) = (Arc::clone(&life), Arc::clone(&order));
                tokio::spawn(async move {
                    life.act().await;
                    order.lock().push(call);
                })
            })
            .collect();
        tokio::task::yield_now().await;
        life.thaw();
        for call in calls {
            call.await.expect("no task panics");
        }
        assert_eq!(*order.lock(), (0..8).collect::<Vec<_>>());
    }
}
