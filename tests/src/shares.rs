//! What a mixed load came to, by what really happened: from the accepted requests and their winning outcomes. Pure.

use std::fmt;

use anyhow::ensure;
use relay_schemas::{Class, OutcomeStatus, TimestampMs};

use crate::ledger::Ledger;

/// Accepted requests by how they came in and ended; each counts once, and what failed or expired counts in `accepted` only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shares {
    /// All.
    pub accepted: usize,
    /// Interactive, streamed to the end.
    pub streamed: usize,
    /// Interactive, answered whole by a worker.
    pub whole: usize,
    /// Batch lines with a result.
    pub batch: usize,
    /// Ended as cancelled.
    pub cancelled: usize,
    /// Ended by the cache.
    pub hits: usize,
}

impl Shares {
    /// Of everything accepted at or after `since`.
    pub fn of(ledger: &Ledger, since: TimestampMs) -> Self {
        let mut shares = Self::default();
        for (id, request) in &ledger.accepted {
            if request.accepted_at < since {
                continue;
            }
            shares.accepted += 1;
            let Some((outcome, ..)) = ledger.winners.get(id) else {
                continue;
            };
            let kind = match outcome.status {
                _ if request.class == Class::Batch => &mut shares.batch,
                OutcomeStatus::Cached => &mut shares.hits,
                OutcomeStatus::Cancelled => &mut shares.cancelled,
                OutcomeStatus::Completed if request.stream => &mut shares.streamed,
                OutcomeStatus::Completed => &mut shares.whole,
                _ => continue,
            };
            *kind += 1;
        }
        shares
    }

    fn kinds(&self) -> [(&'static str, usize); 5] {
        [
            ("streamed", self.streamed),
            ("not streamed", self.whole),
            ("batch", self.batch),
            ("cancelled", self.cancelled),
            ("hits", self.hits),
        ]
    }

    /// Insists on `percent` of what was accepted for each kind.
    pub fn ensure_each(&self, percent: usize) -> anyhow::Result<()> {
        for (kind, count) in self.kinds() {
            ensure!(
                count * 100 >= percent * self.accepted,
                "less than {percent} % {kind}: {self}"
            );
        }
        Ok(())
    }
}

impl fmt::Display for Shares {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} accepted", self.accepted)?;
        for (kind, count) in self.kinds() {
            let percent = count as f64 * 100.0 / self.accepted.max(1) as f64;
            write!(formatter, ", {percent:.0} % {kind}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_that_is_too_rare_is_named() {
        let mut shares = Shares {
            accepted: 100,
            streamed: 20,
            whole: 20,
            batch: 20,
            cancelled: 15,
            hits: 14,
        };
        let told = shares.ensure_each(15).expect_err("too few hits").to_string();
        assert!(told.starts_with("less than 15 % hits"), "{told}");
        shares.hits = 15;
        shares.ensure_each(15).expect("enough of each");
    }
}
