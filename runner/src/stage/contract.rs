//! The contract between a service and the runner that hosts it.
//!
//! A stage decides; the runner does. `on_record` awaits what it needs and returns the records and effects; the runner
//! publishes them, runs the effects once they are acknowledged, and commits the lowest contiguous finished offset.

use async_trait::async_trait;
use relay_bus::{Outgoing, Partition, Position, Record};
use relay_schemas::{DecodeError, Fingerprint, hex};

/// A service's step from one topic to the next.
#[async_trait]
pub trait Stage: Send + Sync + 'static {
    /// What is to be done once the records are acknowledged (typically: send a final frame).
    type Effect: Send + 'static;

    /// `record` is taken up. Called in the order of its partition, whatever overtakes what in [`Stage::on_record`].
    fn on_begin(&self, _record: &Record) {}

    /// Decides what becomes of `record`. Many run at once, also of one partition, unless [`crate::StageOptions::in_order`] says otherwise.
    async fn on_record(&self, record: &Record) -> Result<Step<Self::Effect>, StageError>;

    /// Which records that were put off are to be decided now: a few, and only of partitions that are owned. Waits until there are some.
    /// What the log has let go by then is given up, with nothing but its position.
    async fn recall(&self) -> Vec<Position> {
        std::future::pending().await
    }

    /// Told whenever the partitions that this instance owns change, with all of them.
    async fn on_partitions(&self, _owned: &[Partition]) {}

    /// What is published besides the dead letter when `record` is given up: the last word to whoever waits for it.
    fn last_words(&self, _record: &Record, _reason: &str) -> Vec<Outgoing> {
        Vec::new()
    }

    /// Does the effect. Failing here must not undo the decision, so there is nothing to return.
    async fn after_ack(&self, effect: Self::Effect);
}

/// What a stage decided about one record.
#[derive(Debug)]
pub struct Step<E> {
    /// To be published before the record counts as finished.
    pub publish: Vec<Outgoing>,
    /// To be done once they are acknowledged.
    pub effects: Vec<E>,
    /// It is not decided yet, and takes no more memory than its position until [`Stage::recall`] names it: those behind it go on, and
    /// nothing behind it is committed. The stage bounds how many are put off.
    pub put_off: bool,
}

impl<E> Step<E> {
    /// Nothing to do: the record is finished.
    pub fn nothing() -> Self {
        Self {
            publish: Vec::new(),
            effects: Vec::new(),
            put_off: false,
        }
    }

    /// Publishes one record.
    pub fn publish(record: Outgoing) -> Self {
        Self {
            publish: vec![record],
            ..Self::nothing()
        }
    }

    /// Publishes one record and then does `effect`.
    pub fn publish_then(record: Outgoing, effect: E) -> Self {
        Self {
            publish: vec![record],
            effects: vec![effect],
            ..Self::nothing()
        }
    }

    /// It is not its turn.
    pub fn put_off() -> Self {
        Self {
            put_off: true,
            ..Self::nothing()
        }
    }
}

/// Why a stage could not decide. A business refusal is a value, not an error.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// A dependency is down: the runner pauses, probes and tries the same record again, for as long as it takes.
    #[error("{dependency} is unavailable: {reason}")]
    Unavailable {
        /// The dependency's name, as `/readyz` shows it.
        dependency: &'static str,
        /// What it said.
        reason: String,
    },
    /// This record failed and may succeed: tried again a bounded number of times, then a dead letter.
    #[error("{0}")]
    Retry(String),
    /// This record will never succeed: a dead letter at once.
    #[error("{0}")]
    Poison(String),
    /// The record was written in a schema that this process does not know: the runner reads `relay.schemas.v1` and tries
    /// once more; then it is poison.
    #[error("written in the unknown schema {}", hex(*.0))]
    UnknownSchema(Fingerprint),
    /// The service cannot go on.
    #[error("{0}")]
    Fatal(String),
}

impl From<DecodeError> for StageError {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::UnknownSchema(fingerprint) => Self::UnknownSchema(fingerprint),
            poison => Self::Poison(poison.to_string()),
        }
    }
}
