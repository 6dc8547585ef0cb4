//! What happens, and in what order.

use relay_schemas::TimestampMs;

use crate::log::Append;
use crate::network::Message;
use crate::schedule::{Actor, Op};

/// Something that happens at an instant.
#[derive(Debug)]
pub(crate) enum Happening {
    /// Something is done to the system.
    Event(Op),
    /// A process looks at its clock and its inputs.
    Wake(Actor, i64),
    /// A record reaches the log; its writer, in that life, is told.
    Append(Actor, i64, Append),
    /// The log has acknowledged.
    Acknowledged(Actor, i64, Append),
    /// A control message arrives.
    Arrive(Actor, Message),
    /// A process starts.
    Start(Actor),
}

/// When it happens; what was decided on first comes first.
pub(crate) struct Due {
    pub at: TimestampMs,
    pub order: u64,
    pub what: Happening,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}
