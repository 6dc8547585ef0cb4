//! The follower: case by case, and under any loss, repetition and reordering.
#![expect(clippy::unwrap_used, reason = "a test may stop here")]

mod asking;
mod collecting;
mod fence;
mod order;
mod scene;
mod weather;
mod winner;
