//! What hosts a service: the stage runner, and the small tools that every service shares and that exist once.
//!
//! Stands on the log (`relay-bus`) and on the rules of a request's life (`relay-lifecycle`); knows no service.

mod backoff;
mod crash;
mod dead_letter;
mod health;
mod runtime;
mod schemas;
mod shutdown;
mod stage;
mod superseded;
mod winners;

pub use backoff::backoff;
pub use crash::crash_point;
pub use dead_letter::poisoned;
pub use health::Health;
pub use runtime::{Identity, Runtime};
pub use schemas::{announce_schemas, follow_schemas, refresh_schemas};
pub use shutdown::Shutdown;
pub use stage::{RunnerError, Stage, StageError, StageOptions, Step, run_stage};
pub use superseded::superseded_counter;
pub use winners::{Standing, Winners};
