//! What every proof needs: gateways to kill, clients that remember what they saw, and the raw log to hold both against.
#![expect(
    clippy::missing_panics_doc,
    reason = "a proof stops where the checkout itself is broken"
)]

pub mod ask;
pub mod charged;
pub mod clocks;
pub mod crash;
pub mod disk;
pub mod files;
pub mod flips;
pub mod full;
pub mod gateway;
pub mod growth;
pub mod hostile;
pub mod http;
pub mod images;
pub mod keyed;
pub mod leases;
pub mod ledger;
pub mod letters;
pub mod load;
pub mod meaning;
pub mod mock;
pub mod outages;
pub mod pairs;
pub mod pools;
pub mod power;
pub mod process;
pub mod production;
pub mod proofs;
pub mod rolling;
pub mod servers;
pub mod settle;
pub mod shares;
pub mod stalls;
pub mod steps;
pub mod takeover;
pub mod verdict;
pub mod worker_death;
