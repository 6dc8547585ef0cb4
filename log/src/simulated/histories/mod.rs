//! Histories: what happens to a log and its disk, made from a seed, with a model beside it that says what must hold after each step.
//!
//! `step` is what can happen, `model` what was written, `run` does the steps, `opening` and `look` compare, `shrink` cuts a
//! failing history down.

mod coverage;
mod look;
mod model;
mod opening;
mod run;
mod shrink;
mod step;
mod victim;

pub use coverage::Coverage;
pub use run::{Sabotage, Verdict, run};
pub use shrink::shrink;
pub use step::{COMPACTED, End, Flip, History, Item, SLOTS, Setting, Step};
