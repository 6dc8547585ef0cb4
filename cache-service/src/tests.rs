//! Tests across the modules.

mod eligible;
mod house;
mod levels;
mod redis;
mod stages;
