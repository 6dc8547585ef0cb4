//! Endpoints as loose as there are, in front of the whole service: leased work in, outcomes and frames out.
#![expect(clippy::unwrap_used, reason = "tests")]

mod charged;
mod fallback;
mod hostile;
mod loose;
mod operations;
mod refusals;
mod scene;
mod secured;
mod whole;
