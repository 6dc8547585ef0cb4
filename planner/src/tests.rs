//! Tests across the modules.

mod plans;
mod properties;
mod reloading;
mod stages;
