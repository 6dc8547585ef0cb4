//! How an answer ended.

use relay_lifecycle::{Broken, Transcript, final_of};
use relay_schemas::{CacheStatus, Final, Outcome};

/// What the record of an end says beside the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// What it cost, millionths of a US dollar.
    pub cost_micro_usd: i64,
    /// The word for what the cache made of it.
    pub cache: &'static str,
    /// How often it was given to a worker.
    pub attempts: u32,
}

impl Account {
    /// What `outcome` records.
    pub fn of(outcome: &Outcome) -> Self {
        let cache = match outcome.caching.as_ref().map(|caching| caching.exact) {
            Some(CacheStatus::Hit) => "hit",
            Some(CacheStatus::Miss) => "miss",
            Some(CacheStatus::Unavailable) => "unavailable",
            Some(CacheStatus::Off) | None => "off",
        };
        Self {
            cost_micro_usd: outcome.cost_micro_usd.0,
            cache,
            attempts: outcome.lease.as_ref().map_or(0, |lease| lease.attempt),
        }
    }
}

/// How an answer ended.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// As the record says; with the whole content where none was streamed.
    Finished {
        /// How.
        end: Box<Final>,
        /// The whole content of an answer that was not streamed.
        content: Transcript,
    },
    /// Not truthfully.
    Broken(Broken),
}

impl End {
    /// About what its content takes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Finished { content, .. } => content.bytes(),
            Self::Broken(_) => 0,
        }
    }

    /// What `outcome` records.
    pub fn recorded(outcome: &Outcome) -> Self {
        let end = Box::new(final_of(outcome));
        match &outcome.answer {
            Some(answer) if answer.content_dropped => Self::Broken(Broken::Unavailable),
            answer => Self::Finished {
                end,
                content: answer.as_ref().map(Transcript::of).unwrap_or_default(),
            },
        }
    }
}
