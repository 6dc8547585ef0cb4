//! The log seam: an embedded log (`relay-log`) or Apache Kafka behind one trait, and nothing else.
//!
//! Only this crate knows `rdkafka` and `relay-log`. What hosts a service on it is `relay-runner`.

mod api;
mod checksum;
pub mod embedded;
mod headers;
mod kafka;
mod name;
mod record;
#[cfg(feature = "simulated")]
pub mod simulated;
#[cfg(feature = "testing")]
pub mod testing;
pub mod topics;
mod traceparent;

pub use api::{Bus, BusError, Commit, Consumer, ConsumerEvent, OffsetRange, Reader, Room, StartAt};
pub use checksum::{is_intact, stamp};
pub use embedded::{EmbeddedBus, EmbeddedOptions};
pub use headers::{Headers, header};
pub use kafka::{KafkaBus, KafkaOptions};
pub use name::TopicName;
pub use record::{Outgoing, Partition, Position, Record, decode, read};
pub use traceparent::{traceparent_of, valid_traceparent};
