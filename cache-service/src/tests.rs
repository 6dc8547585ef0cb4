//! Tests across the modules.

mod damaged;
mod eligible;
mod house;
mod levels;
mod redis;
mod secured;
mod stages;
