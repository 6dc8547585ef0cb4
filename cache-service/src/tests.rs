//! Tests across the modules.

mod eligible;
mod levels;
mod redis;
mod stages;
