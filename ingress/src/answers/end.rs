//! How an answer ended.

use relay_lifecycle::{Broken, Transcript, final_of, is_success};
use relay_schemas::{Answer, CacheStatus, Final, Outcome, Service, Usage};

/// What the record of an end says beside the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// Tokens.
    pub usage: Usage,
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
            usage: outcome.usage,
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
        if !has_content(outcome) {
            return Self::Broken(Broken::Unavailable);
        }
        let answer = outcome.answer.as_deref();
        Self::Finished {
            end: Box::new(final_of(outcome)),
            content: answer.map(Transcript::of).unwrap_or_default(),
        }
    }
}

/// Whether what a success said stands in its record.
fn has_content(outcome: &Outcome) -> bool {
    let is_dropped = |answer: &Answer| answer.content_dropped;
    !(is_success(outcome.status) && outcome.answer.as_deref().is_some_and(is_dropped))
}

/// Whether a worker may hold what the record of a success has not.
pub fn is_with_its_worker(outcome: &Outcome) -> bool {
    !has_content(outcome) && outcome.run.service == Service::Workers
}
