//! What goes wrong between a process and its log, and how often.

use std::time::Duration;

/// What goes wrong; nothing by default. Of what is counted in thousandths chance chooses anew each time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// The longest way of a publish to the log, of its acknowledgement back, of what is delivered, and of a commit behind its
    /// publish.
    pub delay: Duration,
    /// The longest time that a sync takes.
    pub sync: Duration,
    /// Publishes in a thousand of which nothing is taken.
    pub not_taken: u32,
    /// Publishes in a thousand that are taken, and whose publisher is told that nobody knows.
    pub acknowledgement_lost: u32,
    /// On brokers: publishes in a thousand of which a part is taken.
    pub in_part: u32,
    /// Waits in a thousand at which a member loses its place in its group, and begins anew behind the commits.
    pub place_lost: u32,
    /// In the process: there is no room for new work.
    pub short: bool,
}

/// A fault that came to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Happened {
    /// See [`Faults::not_taken`].
    NotTaken,
    /// See [`Faults::acknowledgement_lost`].
    AcknowledgementLost,
    /// See [`Faults::in_part`].
    InPart,
    /// See [`Faults::place_lost`].
    PlaceLost,
    /// A member was silent for longer than its session lasts.
    SessionEnded,
    /// A call found the log out of reach.
    OutOfReach,
    /// A commit was void: its partition had gone to another member.
    CommitVoid,
    /// A process was gone before what it had under way reached the log.
    NeverSent,
}
