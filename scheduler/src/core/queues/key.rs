//! Which queue a request stands in, and in what order.

use relay_schemas::Lane;

/// Names a request; ascends with its age.
pub type Ticket = u64;
/// Names a tenant inside these queues.
pub type TenantIx = u32;

/// What shares a tenant's service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flow {
    /// Interactive, short answers.
    Short,
    /// Interactive, long answers.
    Long,
    /// Collected later.
    Batch,
}

impl Flow {
    /// All of them, in the order of the snapshot.
    pub const ALL: [Self; 3] = [Self::Short, Self::Long, Self::Batch];
}

/// How a request comes into the queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It was not there; a tenant of which nothing waited that could be dispatched is lifted.
    New,
    /// It was there when the snapshot was taken, whose counters are lifted already.
    Restored,
}

/// Which workers can take a request: its lane's credits, and one of these models, the first one rather than the last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// The work topic.
    pub lane: Lane,
    /// Models in order of preference.
    pub models: Vec<String>,
}

/// One queue of one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueKey {
    /// Whose.
    pub tenant: TenantIx,
    /// Of which flow.
    pub flow: Flow,
    /// For which workers.
    pub route: Route,
}
