//! One instance's partitions, folded on from where the tables stand. A store that is away is waited for with the batch in hand,
//! so that nothing overtakes it.

use std::collections::{BTreeMap, BTreeSet};

use relay_bus::{Bus, BusError, Position, Record, topics};
use relay_runner::{Backoff, Follow, Stretch, Tail, dependency};
use relay_schemas::TimestampMs;
use relay_store::{Advance, Folded, LoggedOutcome, StoreError, Verdict};

use super::batch::Unfolded;
use super::deliver::Deliver;
use super::ground::{AGAIN, GROUP, Ground, LONGEST, outcomes};
use super::sorting::{Dead, Sorted, sort};
use super::start::{Start, start};
use crate::metrics::Facts;

/// Most reads that wait to be taken.
const READS: usize = 4;

/// Why folding a share ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FoldEnd {
    /// The process drains.
    Drained,
    /// The tables stand elsewhere than was known.
    Moved,
}

/// A share.
pub(super) struct Share<'a> {
    ground: &'a Ground,
    tail: Tail,
    unfolded: Unfolded,
    stands: BTreeMap<i32, Folded>,
    /// Before these offsets the log knows what was folded, and of all dead letters.
    told: BTreeMap<i32, i64>,
}

impl<'a> Share<'a> {
    /// Looks where the tables stand, says what is missing in them, and reads on from there.
    pub(super) async fn begin(ground: &'a Ground, owned: &BTreeSet<i32>) -> Result<Self, BusError> {
        let starts = loop {
            if let Some(starts) = stand(ground, owned).await? {
                break starts;
            }
        };
        let stands: BTreeMap<i32, Folded> =
            starts.iter().map(|(number, start)| (*number, start.at)).collect();
        let told = starts
            .iter()
            .filter_map(|(number, start)| Some((*number, start.told?)));
        let health = ground.runtime.health.clone();
        let report = move |result: Result<(), &str>| match result {
            Ok(()) => health.up(dependency::BUS),
            Err(reason) => health.down(dependency::BUS, reason),
        };
        let from = stands.iter().map(|(number, at)| (outcomes(*number), at.next));
        let tail = Tail::open(
            &ground.runtime,
            Follow::partitions(from),
            READS,
            Backoff::new(AGAIN.0, LONGEST, &ground.runtime.chance),
            Box::new(report),
        );
        let mut share = Self {
            ground,
            tail,
            unfolded: Unfolded::default(),
            told: told.collect(),
            stands,
        };
        share.tell_what_was_not_told().await?;
        share.tell_what_is_missing();
        Ok(share)
    }

    /// Folds until a drain, or until the tables turn out to stand elsewhere.
    pub(super) async fn fold_on(&mut self) -> Result<FoldEnd, BusError> {
        let shutdown = self.ground.runtime.shutdown.clone();
        loop {
            let limits = &self.ground.limits;
            let batch = tokio::select! {
                biased;
                () = shutdown.draining() => return Ok(FoldEnd::Drained),
                batch = self.unfolded.next(&mut self.tail, limits) => batch?,
            };
            let stays = match batch {
                Some(batch) => self.fold(batch).await?,
                None => self.still_stands().await,
            };
            if !stays {
                return Ok(FoldEnd::Moved);
            }
        }
    }

    /// Whether the tables stand where they stood; tables that cannot be asked stand still.
    async fn still_stands(&self) -> bool {
        let folded = self.ground.outcomes.folded().await;
        folded.map_or(true, |folded| {
            self.stands
                .iter()
                .all(|(number, at)| folded.get(number) == Some(at))
        })
    }

    /// Whether it was folded; false where the tables stand elsewhere.
    async fn fold(&mut self, batch: Vec<Record>) -> Result<bool, BusError> {
        let Sorted { outcomes, mut dead } = sort(&self.ground.runtime, &batch).await?;
        let stays = match self.fold_at_once(&batch, &outcomes).await {
            Err(StoreError::Refused(_)) => self.fold_one_by_one(&batch, outcomes, &mut dead).await,
            folded => folded.is_ok(),
        };
        if stays {
            self.tell(dead).await?;
            self.tell_what_is_missing();
        }
        Ok(stays)
    }

    /// One outcome that the store refuses must not take the others with it.
    async fn fold_one_by_one(
        &mut self,
        batch: &[Record],
        outcomes: Vec<LoggedOutcome>,
        dead: &mut Vec<Dead>,
    ) -> bool {
        let mut outcomes = outcomes.into_iter().peekable();
        for record in batch {
            let (position, one) = (&record.position, std::slice::from_ref(record));
            let lies_here = |logged: &LoggedOutcome| {
                (logged.partition, logged.offset) == (position.partition.partition, position.offset)
            };
            let outcome = outcomes.next_if(lies_here);
            let stays = match self.fold_at_once(one, outcome.as_slice()).await {
                Err(StoreError::Refused(reason)) => {
                    let record = record.clone();
                    dead.push(Dead { record, reason });
                    self.fold_at_once(one, &[]).await.is_ok()
                }
                folded => folded.is_ok(),
            };
            if !stays {
                return false;
            }
        }
        true
    }

    /// Folds the `outcomes` that lie in `batch`. Fails only with [`StoreError::Refused`] and [`StoreError::Moved`]: all else is
    /// waited for.
    async fn fold_at_once(&mut self, batch: &[Record], outcomes: &[LoggedOutcome]) -> Result<(), StoreError> {
        let advances = self.advances(batch);
        let took = self
            .ground
            .metrics
            .fold_of(outcomes.len(), &self.ground.runtime.clock);
        let folded = self.fold_when_reached(outcomes, &advances).await;
        drop(took);
        for (verdict, logged) in folded?.into_iter().zip(outcomes) {
            // What is folded again was counted when it was folded first.
            let at = self.stands.get(&logged.partition);
            if at.is_none_or(|at| logged.offset >= at.whole_from) {
                self.ground.metrics.folded(verdict, Facts::of(&logged.outcome));
            }
        }
        let to = advances.iter().map(|advance| (advance.partition, advance.to));
        self.stands.extend(to);
        Ok(())
    }

    fn advances(&self, batch: &[Record]) -> Vec<Advance> {
        let mut ends: BTreeMap<i32, i64> = BTreeMap::new();
        for record in batch {
            let position = &record.position;
            ends.insert(position.partition.partition, position.offset + 1);
        }
        let advance = |(partition, next): (i32, i64)| {
            let at = self.stands.get(&partition)?;
            let to = Folded { next, ..*at };
            Some(Advance {
                partition,
                from: Some(at.next),
                to,
            })
        };
        ends.into_iter().filter_map(advance).collect()
    }

    /// Folds as soon as the store is there, whatever keeps it away.
    async fn fold_when_reached(
        &self,
        outcomes: &[LoggedOutcome],
        advances: &[Advance],
    ) -> Result<Vec<Verdict>, StoreError> {
        let mut backoff = Backoff::new(AGAIN.0, AGAIN.1, &self.ground.runtime.chance);
        loop {
            match self.ground.outcomes.fold(outcomes, advances).await {
                Err(error @ (StoreError::Refused(_) | StoreError::Moved)) => return Err(error),
                Err(error) => self.ground.condition.folding_waits(&error),
                Ok(verdicts) => {
                    self.ground.condition.folding_goes_on();
                    return Ok(verdicts);
                }
            }
            backoff.wait().await;
        }
    }

    /// Tells the log what was folded, with the dead letters of what could not be. What was told before, and is folded again, is
    /// not told again.
    async fn tell(&mut self, mut dead: Vec<Dead>) -> Result<(), BusError> {
        dead.retain(|dead| {
            let Position { partition, offset } = &dead.record.position;
            let told = self.told.get(&partition.partition);
            told.is_none_or(|told| *offset >= *told)
        });
        let further = |(number, at): (&i32, &Folded)| {
            let told = self.told.get(number);
            told.is_none_or(|told| at.next > *told)
                .then_some((*number, at.next))
        };
        let further: BTreeMap<i32, i64> = self.stands.iter().filter_map(further).collect();
        self.deliver().tell(&dead, &further).await?;
        self.told.extend(further);
        Ok(())
    }

    /// After a death between folding and telling, the log does not know of dead letters of what was folded last. A group that it
    /// does not know yet is told before anything is folded, so that this is known after its first death too.
    async fn tell_what_was_not_told(&mut self) -> Result<(), BusError> {
        let runtime = &self.ground.runtime;
        for (number, at) in &self.stands {
            let told = self.told.get(number).copied().unwrap_or(at.next);
            let mut untold = Stretch::between(&*runtime.bus, outcomes(*number), told, at.next).await?;
            while let Some(record) = untold.next().await? {
                let next = BTreeMap::from([(*number, record.position.offset + 1)]);
                let Sorted { outcomes, mut dead } = sort(runtime, std::slice::from_ref(&record)).await?;
                if let Err(StoreError::Refused(reason)) = self.fold_when_reached(&outcomes, &[]).await {
                    dead.push(Dead { record, reason });
                }
                if !dead.is_empty() {
                    self.deliver().tell(&dead, &next).await?;
                }
            }
        }
        self.tell(Vec::new()).await
    }

    fn deliver(&self) -> Deliver<'_> {
        Deliver {
            runtime: &self.ground.runtime,
            identity: &self.ground.identity,
            metrics: &self.ground.metrics,
        }
    }

    fn tell_what_is_missing(&self) {
        let missing = self
            .stands
            .values()
            .map(|at| (at.whole_from - at.next).max(0))
            .sum();
        self.ground.condition.rebuilding(missing);
    }
}

/// Brings the tables to stand where folding begins; `None` where they moved meanwhile.
async fn stand(ground: &Ground, owned: &BTreeSet<i32>) -> Result<Option<BTreeMap<i32, Start>>, BusError> {
    let bus = &*ground.runtime.bus;
    let tables = ground.tables_when_reached().await;
    let mut starts: BTreeMap<i32, Start> = BTreeMap::new();
    for number in owned {
        let log = bus.range(&outcomes(*number)).await?;
        let committed = bus.committed(GROUP, &outcomes(*number)).await?;
        starts.insert(*number, start(tables.get(number).copied(), log, committed));
    }
    let changes = |(partition, start): (&i32, &Start)| {
        let changes = tables.get(partition) != Some(&start.at);
        changes.then_some(Advance {
            partition: *partition,
            from: start.from,
            to: start.at,
        })
    };
    let advances: Vec<Advance> = starts.iter().filter_map(changes).collect();
    match ground.outcomes.fold(&[], &advances).await {
        Ok(_) => {}
        Err(StoreError::Moved) => return Ok(None),
        Err(error) => {
            ground.condition.folding_waits(&error);
            tokio::time::sleep(AGAIN.1).await;
            return Ok(None);
        }
    }
    ground.condition.folding_goes_on();
    say(ground, &starts).await?;
    Ok(Some(starts))
}

/// One line on what is rebuilt, and one on what is lost.
async fn say(ground: &Ground, starts: &BTreeMap<i32, Start>) -> Result<(), BusError> {
    let rebuilt: Vec<(i32, i64)> = starts
        .iter()
        .filter(|(_, start)| start.rebuilds)
        .map(|(number, start)| (*number, start.at.next))
        .collect();
    if !rebuilt.is_empty() {
        ground.metrics.rebuilds();
        let outcomes: i64 = starts
            .values()
            .map(|start| (start.at.whole_from - start.at.next).max(0))
            .sum();
        if starts.values().any(|start| start.lost) {
            let first = first_hour(&*ground.runtime.bus, &rebuilt).await?;
            tracing::warn!(
                messaging.partitions = rebuilt.len(),
                outcomes,
                first_hour = first,
                "the tables lack outcomes that were folded before: they are rebuilt from the log, which holds them from that hour \
                 on; what is older comes back only from a backup"
            );
        } else {
            tracing::info!(
                messaging.partitions = rebuilt.len(),
                outcomes,
                "the tables lack outcomes that were folded before: the log holds all of them, and they are folded again"
            );
        }
    }
    let dropped: i64 = starts.values().map(|start| start.dropped).sum();
    if dropped > 0 {
        tracing::warn!(
            outcomes.dropped = dropped,
            "the log dropped outcomes before they were folded: raise the `retention` of {} or mend what holds folding up",
            topics::OUTCOMES
        );
    }
    Ok(())
}

/// The hour of the oldest record from which partitions are folded again.
async fn first_hour(bus: &dyn Bus, from: &[(i32, i64)]) -> Result<String, BusError> {
    let mut first: Option<TimestampMs> = None;
    for (number, next) in from {
        let high = bus.range(&outcomes(*number)).await?.high;
        let mut stretch = Stretch::between(bus, outcomes(*number), *next, high).await?;
        if let Some(record) = stretch.next().await? {
            first = Some(first.map_or(record.timestamp, |first| first.min(record.timestamp)));
        }
    }
    let none = || "none: the log holds nothing of them".to_owned();
    Ok(first.map_or_else(none, crate::admin::time::hour))
}
