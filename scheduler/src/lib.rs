//! Queues planned work fairly by tenant and leases it to workers against their credits.
