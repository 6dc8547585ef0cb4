//! The log seam: an embedded log (`fjall`) or Apache Kafka behind one trait, and the runner that hosts a [`Stage`] on it.
//!
//! Only this crate knows `rdkafka` and `fjall`.

mod api;
mod checksum;
mod crash;
pub mod embedded;
mod health;
mod kafka;
mod record;
mod runner;
mod runtime;
mod schemas;
mod shutdown;
mod stage;
mod superseded;
pub mod topics;
mod winners;

pub use api::{Bus, BusError, Commit, Consumer, ConsumerEvent, OffsetRange, Reader, StartAt};
pub use checksum::stamp;
pub use crash::crash_point;
pub use embedded::{EmbeddedBus, EmbeddedOptions};
pub use health::Health;
pub use kafka::{KafkaBus, KafkaOptions};
pub use record::{Headers, Outgoing, Partition, Position, Record, header};
pub use runner::{RunnerError, StageOptions, poisoned, run_stage};
pub use runtime::{Identity, Runtime};
pub use schemas::{announce_schemas, follow_schemas, refresh_schemas};
pub use shutdown::Shutdown;
pub use stage::{Stage, StageError, Step, decode};
pub use superseded::superseded_counter;
pub use winners::{Standing, Winners};
