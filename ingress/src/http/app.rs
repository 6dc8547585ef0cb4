//! What all handlers share; each takes the parts that it uses.

use std::sync::Arc;

use axum::extract::FromRef;

use super::operation::Door;
use super::state::{Catalogue, Counted, Deadlines};
use crate::admission::refusals::Refusals;

/// The parts of all handlers.
#[derive(Clone, FromRef)]
pub struct App {
    /// The door of the operations.
    pub door: Door,
    /// Records of refusals.
    pub refusals: Arc<Refusals>,
    /// Bounds of a deadline.
    pub deadlines: Deadlines,
    /// What is counted of exchanges.
    pub counted: Counted,
    /// The models that are there.
    pub catalogue: Catalogue,
}
