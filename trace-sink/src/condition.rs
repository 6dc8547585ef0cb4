//! How the tables are, said in one place: on `/readyz`, in one line whenever it changes, and as a metric. Without them requests are
//! served all the same, so they keep no process from being ready once it is up.

use std::time::Duration;

use parking_lot::Mutex;
use prometheus::IntGauge;
use relay_runner::Health;
use relay_store::{Database, StoreError};

/// The tables as `/readyz` names them.
const STORE: &str = "store";

/// What is known of the tables.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct TablesHealth {
    /// Why they do not answer.
    unreached: Option<String>,
    /// Why they cannot be folded into.
    unfolded: Option<String>,
    /// Outcomes that were folded once, are missing and will be folded again.
    missing: i64,
}

impl TablesHealth {
    /// What kind of thing is wrong, and what.
    fn wrong(&self) -> (Kind, String) {
        let away = self.unfolded.as_ref().or(self.unreached.as_ref());
        match away {
            Some(reason) => (Kind::Away, reason.clone()),
            None if self.missing > 0 => {
                let rebuilding = format!("rebuilt from the log, {} outcomes to go", self.missing);
                (Kind::Rebuilding, rebuilding)
            }
            None => (Kind::Whole, String::new()),
        }
    }
}

/// Which of three things is said of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Whole,
    Rebuilding,
    Away,
}

/// How the tables are.
pub(crate) struct Condition {
    health: Health,
    degraded: IntGauge,
    /// With what was said last.
    known: Mutex<(TablesHealth, Option<Kind>)>,
}

impl Condition {
    pub(crate) fn new(health: Health, degraded: IntGauge) -> Self {
        Self {
            health,
            degraded,
            known: Mutex::default(),
        }
    }

    /// Looks at the database for ever.
    pub(crate) async fn watch(&self, database: &dyn Database, every: Duration) {
        loop {
            let probed = database.probe().await.err().map(|error| error.to_string());
            self.note(|known| known.unreached = probed);
            tokio::time::sleep(every).await;
        }
    }

    /// A batch could not be folded, and waits.
    pub(crate) fn folding_waits(&self, error: &StoreError) {
        self.note(|known| known.unfolded = Some(error.to_string()));
    }

    /// Whether outcomes wait that cannot be folded: then nothing is said to be unknown which may be among them.
    pub(crate) fn is_held_up(&self) -> bool {
        self.known.lock().0.unfolded.is_some()
    }

    /// A batch was folded.
    pub(crate) fn folding_goes_on(&self) {
        self.note(|known| known.unfolded = None);
    }

    /// So many outcomes are still missing that were folded once.
    pub(crate) fn rebuilding(&self, missing: i64) {
        self.note(|known| known.missing = missing);
    }

    fn note(&self, change: impl FnOnce(&mut TablesHealth)) {
        let (known, told) = &mut *self.known.lock();
        let before = known.clone();
        change(known);
        if *known == before && told.is_some() {
            return;
        }
        let (kind, reason) = known.wrong();
        self.degraded.set(i64::from(kind != Kind::Whole));
        if kind == Kind::Whole {
            self.health.up(STORE);
        } else {
            self.health.bypassed(STORE, reason.as_str());
        }
        if told.replace(kind) == Some(kind) {
            return;
        }
        match kind {
            // A rebuild has a line of its own, with what comes back.
            Kind::Rebuilding => {}
            Kind::Away => tracing::warn!(
                reason,
                "the tables are away: requests are served; traces, and answers under idempotency keys, wait for them"
            ),
            Kind::Whole => tracing::info!("the tables answer and are whole"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_that_are_away_or_being_rebuilt_are_told_and_keep_no_process_from_being_ready() {
        let (health, degraded) = (
            Health::default(),
            IntGauge::new("degraded", "degraded").expect("a name"),
        );
        health.down(STORE, "not reached yet");
        let condition = Condition::new(health.clone(), degraded.clone());
        let told = || (health.told()[STORE].clone(), health.is_ready(), degraded.get());
        condition.folding_goes_on();
        assert_eq!(told(), ("ok".to_owned(), true, 0));
        condition.folding_waits(&StoreError::Unavailable("locked".to_owned()));
        assert_eq!(
            told(),
            ("bypassed: the store is unavailable: locked".to_owned(), true, 1)
        );
        assert!(condition.is_held_up());
        condition.rebuilding(7);
        assert!(told().0.contains("locked"), "the graver comes first");
        condition.folding_goes_on();
        assert!(!condition.is_held_up());
        assert_eq!(
            told(),
            (
                "bypassed: rebuilt from the log, 7 outcomes to go".to_owned(),
                true,
                1
            )
        );
        condition.rebuilding(0);
        assert_eq!(told(), ("ok".to_owned(), true, 0));
    }
}
