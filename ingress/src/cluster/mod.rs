//! What this ingress knows of the world around it: which models workers run, whether log and control seam answer, and which
//! accepted requests nothing has ended.

pub mod models;
pub mod names;
pub mod peers;
pub mod probes;
pub mod readiness;
pub mod served;
pub mod sweeper;
