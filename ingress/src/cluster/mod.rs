//! What this ingress knows of the world around it: which models workers run, and whether log and control seam answer.

pub mod models;
pub mod probes;
pub mod readiness;
