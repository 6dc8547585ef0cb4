//! What hosts a service that keeps state: of several instances one leads by the log, folds its inputs into its state, decides, and
//! publishes what follows; a standby rebuilds the state from the newest snapshot and the rest of the log.
//!
//! From the ground up: `notice` (what a record of the leadership topic says), `leadership` (who leads by it; pure), `offsets` and
//! `ends` (how far inputs are folded, and how far they must be), `heartbeat` (when a leader writes), `log` (asks and follows the
//! log), `backlog` (what waits to be published), `outlet` (publishes in order), `lead` (the leader's own records), `publishers`
//! (all of them), `election` (follows the leadership topic), `takeover` (from a snapshot and the log's rest to the lead), and on
//! top `standby`.

mod backlog;
mod election;
mod ends;
mod heard;
mod heartbeat;
mod lead;
mod leadership;
mod log;
mod notice;
mod offsets;
mod outlet;
mod publishers;
mod sleep;
mod standby;
mod takeover;

pub use backlog::{Backlog, Weight};
pub use election::{Election, LeadershipTopic, Unreadable};
pub use ends::Ends;
pub use heartbeat::{Heartbeat, LeadershipTimes};
pub use lead::LeadershipLane;
pub use leadership::{Appended, Leadership, NOBODY};
pub use log::LogClient;
pub use notice::{Notice, NoticeKind};
pub use offsets::{At, Offsets};
pub use outlet::Outlet;
pub use publishers::{PublisherError, Publishers};
pub use sleep::sleep_until;
pub use standby::{StatefulStage, Tenure, run_stateful};
pub use takeover::{Folded, Held, Opened, Takeover};
