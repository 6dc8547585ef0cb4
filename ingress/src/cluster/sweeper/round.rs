//! Where a round stands.

use std::collections::BTreeMap;

use relay_bus::{Bus, BusError, Partition, Record};
use relay_lifecycle::Moment;
use relay_schemas::TimestampMs;

use super::passage::Passage;

/// What a round found at its beginning: outcomes first, so that the request of each lies before the requests' marks.
#[derive(Debug)]
pub(super) struct Marks {
    /// When.
    pub at: Moment,
    /// Where outcomes ended.
    pub outcomes: BTreeMap<Partition, i64>,
    /// Where the owned partitions of requests ended, a moment later.
    pub requests: BTreeMap<i32, i64>,
}

/// A round.
pub(super) enum Round {
    /// There is none.
    Over,
    /// It reads requests up to their marks.
    Requests(Marks),
    /// It reads outcomes up to theirs.
    Outcomes(Marks, Passage),
}

impl Round {
    /// Reads outcomes: from `seek` on where it says an instant, else from `known` on.
    pub(super) async fn read_outcomes(
        bus: &dyn Bus,
        began: Marks,
        known: &BTreeMap<Partition, i64>,
        seek: Option<TimestampMs>,
    ) -> Result<Self, BusError> {
        let passage = match seek {
            Some(since) => Passage::since(bus, since, &began.outcomes).await?,
            None => Passage::between(bus, known, &began.outcomes).await?,
        };
        Ok(Self::Outcomes(began, passage))
    }

    /// The next outcomes; waits for ever where the round does not read them now.
    pub(super) async fn outcomes(&mut self) -> Result<Vec<Record>, BusError> {
        match self {
            Self::Outcomes(_, passage) => passage.next().await,
            Self::Over | Self::Requests(_) => std::future::pending().await,
        }
    }

    /// Whether outcomes are read up to their marks, or as far as they matter: `none_open` where all requests read have ended.
    pub(super) fn is_over(&self, none_open: bool) -> bool {
        matches!(self, Self::Outcomes(_, passage) if none_open || passage.is_over())
    }
}
