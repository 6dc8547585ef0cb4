//! Whose line comes next. A line that finds no room, or others of its kind before it, is put off: only where it lies is remembered, so
//! that those of other tenants behind it pass. Once there is room again, tenants take turns.
//!
//! Where a line may go follows from who runs its model when it is looked at, not when it was put off: models move, and workers are
//! silent for a while.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use parking_lot::Mutex;
use relay_bus::{Partition, Position};
use relay_schemas::{PoolStatus, TenantId, TimestampMs};
use tokio::sync::Notify;

use super::gate::{Gate, Way};
use super::waiting::Waiting;
use crate::cluster::models::Models;

/// Most lines recalled at once.
const MOST_RECALLED: usize = 64;

/// And of one tenant in turn: its lines lie next to each other, so that they are read in one go.
const MOST_OF_ONE: usize = 16;

/// What becomes of a line now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is let in.
    Now,
    /// It is recalled later.
    PutOff,
    /// Too many are put off: it has to be held.
    Hold,
    /// It has waited for as long as it may.
    Over,
}

/// The lines whose turn has not come.
#[derive(Debug)]
pub struct Turns {
    state: Mutex<State>,
    models: Arc<Mutex<Models>>,
    /// There may be room again.
    heard: Notify,
}

#[derive(Debug)]
struct State {
    gate: Gate,
    runs: Runs,
    waiting: Waiting<Line>,
    /// Lines that are being read again, and what becomes of them.
    recalled: HashMap<Position, Turn>,
    most: usize,
}

/// A line that was read.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Where.
    pub position: &'a Position,
    /// Whose.
    pub tenant: &'a TenantId,
    /// What it asks for.
    pub model: &'a str,
    /// Of its value.
    pub bytes: usize,
    /// Until when it may wait.
    pub until: TimestampMs,
}

/// A line that was put off.
#[derive(Debug)]
struct Line {
    position: Position,
    model: ModelKey,
    bytes: usize,
    until: TimestampMs,
}

/// Stands for the name of a model: a line that waits takes as little memory whatever it asks for. Two names of one key would share a
/// gate, nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ModelKey(u64);

/// In which pools each model runs, as of the newest status of a pool.
#[derive(Debug)]
struct Runs {
    /// So that no client can choose names of one key.
    salt: u64,
    pools: HashMap<ModelKey, Vec<String>>,
}

impl Runs {
    fn key(&self, model: &str) -> ModelKey {
        let mut hasher = DefaultHasher::new();
        (self.salt, model).hash(&mut hasher);
        ModelKey(hasher.finish())
    }

    /// Takes over what is told; whether that is news.
    fn hear(&mut self, models: &Models, now: TimestampMs) -> bool {
        let told = models.pools(now).into_iter().map(|(model, pools)| {
            let pools = pools.into_iter().map(str::to_owned).collect();
            (self.key(model), pools)
        });
        let told = told.collect();
        let news = told != self.pools;
        self.pools = told;
        news
    }

    fn way(&self, tenant: &TenantId, model: ModelKey) -> Way {
        Way {
            tenant: tenant.clone(),
            pools: self.pools.get(&model).cloned().unwrap_or_default(),
        }
    }
}

impl Turns {
    /// No line waits; at most `most` may. `salt` is a random number.
    pub fn new(gate: Gate, models: Arc<Mutex<Models>>, most: usize, salt: u64) -> Self {
        let state = State {
            gate,
            runs: Runs {
                salt,
                pools: HashMap::new(),
            },
            waiting: Waiting::default(),
            recalled: HashMap::new(),
            most,
        };
        Self {
            state: Mutex::new(state),
            models,
            heard: Notify::new(),
        }
    }

    /// A scheduler spoke.
    pub fn on_status(&self, status: PoolStatus, now: TimestampMs) {
        {
            let state = &mut *self.state.lock();
            state.gate.on_status(status, now);
            if state.runs.hear(&self.models.lock(), now) {
                let runs = &state.runs;
                state
                    .waiting
                    .sort_anew(|way, line| runs.way(&way.tenant, line.model));
            }
        }
        self.heard.notify_one();
    }

    /// A line was read. `room`: whether the log has room for it.
    pub fn read(&self, line: &Candidate<'_>, room: bool, now: TimestampMs) -> Turn {
        let state = &mut *self.state.lock();
        if let Some(turn) = state.recalled.remove(line.position) {
            return turn;
        }
        let model = state.runs.key(line.model);
        let way = state.runs.way(line.tenant, model);
        if room && !state.waiting.has(&way) && state.gate.admit(&way, line.bytes, now) {
            return Turn::Now;
        }
        if state.waiting.len() >= state.most {
            return Turn::Hold;
        }
        let line = Line {
            position: line.position.clone(),
            model,
            bytes: line.bytes,
            until: line.until,
        };
        state.waiting.push(&way, line);
        Turn::PutOff
    }

    /// Waits until there may be room again.
    pub async fn heard(&self) {
        self.heard.notified().await;
    }

    /// The lines whose turn it is now, or never will be: a few at once.
    pub fn due(&self, now: TimestampMs) -> Vec<Position> {
        let state = &mut *self.state.lock();
        let gate = &mut state.gate;
        let due = state.waiting.take(MOST_RECALLED, MOST_OF_ONE, |way, line| {
            if gate.admit(way, line.bytes, now) {
                return Some(Turn::Now);
            }
            (now >= line.until).then_some(Turn::Over)
        });
        let due: Vec<(Position, Turn)> = due
            .into_iter()
            .map(|(line, turn)| (line.position, turn))
            .collect();
        state.recalled.extend(due.iter().cloned());
        due.into_iter().map(|(position, _)| position).collect()
    }

    /// The line at `position` will not be read again.
    pub fn forget(&self, position: &Position) {
        self.state.lock().recalled.remove(position);
    }

    /// Only these partitions are owned: lines of others are somebody else's.
    pub fn keep(&self, owned: &[Partition]) {
        let state = &mut *self.state.lock();
        let kept = |position: &Position| owned.contains(&position.partition);
        state.waiting.retain(|line| kept(&line.position));
        state.recalled.retain(|position, _| kept(position));
    }
}

#[cfg(test)]
mod tests;
