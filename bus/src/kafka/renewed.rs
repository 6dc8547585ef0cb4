//! A client that is replaced by a fresh one once it has failed for too long: brokers that come back are librdkafka's to find, and
//! sometimes it never does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use relay_clock::Clock;

use super::blocking::dispose;
use super::metrics::Metrics;
use crate::BusError;

/// How a client is made.
type Make<C> = Box<dyn Fn() -> Result<C, BusError> + Send + Sync>;

/// See the module.
pub(super) struct Renewed<C: Send + Sync + 'static> {
    /// What it is for, as metrics name it.
    name: &'static str,
    make: Make<C>,
    current: RwLock<Arc<C>>,
    /// Since when no question was answered.
    failing: Mutex<Option<Instant>>,
    patience: Duration,
    clock: Clock,
    metrics: Metrics,
}

impl<C: Send + Sync + 'static> Renewed<C> {
    /// Makes the first one; it is replaced after having failed for `patience`.
    pub(super) fn new(
        name: &'static str,
        patience: Duration,
        (clock, metrics): (Clock, Metrics),
        make: impl Fn() -> Result<C, BusError> + Send + Sync + 'static,
    ) -> Result<Self, BusError> {
        Ok(Self {
            name,
            current: RwLock::new(Arc::new(make()?)),
            make: Box::new(make),
            failing: Mutex::default(),
            patience,
            clock,
            metrics,
        })
    }

    /// The client to ask.
    pub(super) fn get(&self) -> Arc<C> {
        self.current.read().clone()
    }

    /// Takes in what `client` answered, and hands it on.
    pub(super) fn answered<T>(&self, client: &Arc<C>, answer: Result<T, BusError>) -> Result<T, BusError> {
        if let Err(BusError::Unavailable(reason)) = &answer {
            self.failed(client, reason);
        } else {
            *self.failing.lock() = None;
        }
        answer
    }

    fn failed(&self, client: &Arc<C>, reason: &str) {
        let now = self.clock.instant();
        let mut failing = self.failing.lock();
        let since = *failing.get_or_insert(now);
        if now.saturating_duration_since(since) < self.patience {
            return;
        }
        let mut current = self.current.write();
        if !Arc::ptr_eq(&current, client) {
            return;
        }
        match (self.make)() {
            Ok(fresh) => {
                tracing::debug!(client = self.name, reason, "a Kafka client is replaced");
                self.metrics.replaced(self.name);
                *failing = None;
                dispose(std::mem::replace(&mut *current, Arc::new(fresh)));
            }
            Err(error) => tracing::error!(client = self.name, %error, "a Kafka client could not be replaced"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use relay_schemas::TimestampMs;

    use super::*;

    #[test]
    fn a_client_that_fails_for_too_long_is_replaced_and_one_that_answers_in_between_is_not() {
        let (clock, manual) = Clock::manual(TimestampMs(0));
        let count = AtomicUsize::new(0);
        let make = move || Ok(count.fetch_add(1, Ordering::SeqCst));
        let seam = (clock, Metrics::new());
        let renewed = Renewed::new("questions", Duration::from_secs(10), seam, make).expect("it is made");
        let fails = || {
            let client = renewed.get();
            let answer: Result<(), _> = Err(BusError::Unavailable("all brokers are down".to_owned()));
            renewed.answered(&client, answer).expect_err("it is handed on");
        };
        fails();
        manual.advance(Duration::from_secs(9));
        fails();
        renewed.answered(&renewed.get(), Ok(())).expect("it is handed on");
        manual.advance(Duration::from_secs(9));
        fails();
        assert_eq!(*renewed.get(), 0);
        let old = renewed.get();
        manual.advance(Duration::from_secs(10));
        fails();
        assert_eq!(*renewed.get(), 1);
        let late: Result<(), _> = Err(BusError::UnknownTopic("t".to_owned()));
        renewed
            .answered(&old, late)
            .expect_err("brokers that know no such topic answer");
        fails();
        assert_eq!(*renewed.get(), 1, "its own time begins anew");
    }
}
