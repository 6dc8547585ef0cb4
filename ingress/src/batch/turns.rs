//! Whose line comes next. A line that finds no room, or others of its kind before it, is put off: only where it lies is remembered, so
//! that those of other tenants behind it pass. Once there is room again, tenants take turns.

use std::collections::{HashMap, HashSet, VecDeque};

use parking_lot::Mutex;
use relay_bus::{Partition, Position};
use relay_schemas::{PoolStatus, TimestampMs};
use tokio::sync::Notify;

use super::gate::{Gate, Way};

/// Most lines recalled at once.
const MOST_RECALLED: usize = 64;

/// What becomes of a line now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is let in.
    Now,
    /// It is recalled later.
    PutOff,
    /// Too many are put off: it has to be held.
    Hold,
}

/// The lines whose turn has not come.
#[derive(Debug)]
pub struct Turns {
    state: Mutex<State>,
    /// There may be room again.
    heard: Notify,
}

#[derive(Debug)]
struct State {
    gate: Gate,
    waiting: Waiting<Line>,
    /// Lines that were let in and are being read again.
    recalled: HashSet<Position>,
    most: usize,
}

/// A line that was put off.
#[derive(Debug)]
struct Line {
    position: Position,
    bytes: usize,
}

impl Turns {
    /// No line waits; at most `most` may.
    pub fn new(gate: Gate, most: usize) -> Self {
        let state = State {
            gate,
            waiting: Waiting::default(),
            recalled: HashSet::new(),
            most,
        };
        Self {
            state: Mutex::new(state),
            heard: Notify::new(),
        }
    }

    /// A scheduler spoke.
    pub fn on_status(&self, status: PoolStatus, now: TimestampMs) {
        self.state.lock().gate.on_status(status, now);
        self.heard.notify_one();
    }

    /// The line at `position` was read. `room`: whether the log has room for it.
    pub fn read(&self, position: &Position, way: &Way, bytes: usize, room: bool, now: TimestampMs) -> Turn {
        let state = &mut *self.state.lock();
        if state.recalled.remove(position) {
            return Turn::Now;
        }
        if room && !state.waiting.has(way) && state.gate.admit(way, bytes, now) {
            return Turn::Now;
        }
        if state.waiting.len() >= state.most {
            return Turn::Hold;
        }
        let position = position.clone();
        state.waiting.push(way, Line { position, bytes });
        Turn::PutOff
    }

    /// Waits until there may be room again.
    pub async fn heard(&self) {
        self.heard.notified().await;
    }

    /// The lines that are let in now, a few at once.
    pub fn due(&self, now: TimestampMs) -> Vec<Position> {
        let state = &mut *self.state.lock();
        let gate = &mut state.gate;
        let due = state
            .waiting
            .take(MOST_RECALLED, |way, line| gate.admit(way, line.bytes, now));
        let due: Vec<Position> = due.into_iter().map(|line| line.position).collect();
        state.recalled.extend(due.iter().cloned());
        due
    }

    /// Only these partitions are owned: lines of others are somebody else's.
    pub fn keep(&self, owned: &[Partition]) {
        let state = &mut *self.state.lock();
        let kept = |position: &Position| owned.contains(&position.partition);
        state.waiting.retain(|line| kept(&line.position));
        state.recalled.retain(kept);
    }
}

/// What waits by way, each in order; ways take turns. Invariant: exactly the ways of which something waits are in `order`.
#[derive(Debug)]
struct Waiting<T> {
    lines: HashMap<Way, VecDeque<T>>,
    order: VecDeque<Way>,
    count: usize,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self {
            lines: HashMap::new(),
            order: VecDeque::new(),
            count: 0,
        }
    }
}

impl<T> Waiting<T> {
    fn len(&self) -> usize {
        self.count
    }

    fn has(&self, way: &Way) -> bool {
        self.lines.contains_key(way)
    }

    fn push(&mut self, way: &Way, line: T) {
        if !self.has(way) {
            self.order.push_back(way.clone());
        }
        self.lines.entry(way.clone()).or_default().push_back(line);
        self.count += 1;
    }

    /// At most `most` that may go, one of each way in turn, going on behind the way that was last.
    fn take(&mut self, most: usize, mut may_go: impl FnMut(&Way, &T) -> bool) -> Vec<T> {
        let (mut taken, mut refused) = (Vec::new(), 0);
        while taken.len() < most && refused < self.order.len() {
            let Some(way) = self.order.pop_front() else { break };
            let lines = self.lines.get_mut(&way);
            match lines.and_then(|lines| lines.pop_front_if(|line| may_go(&way, line))) {
                Some(line) => {
                    refused = 0;
                    self.count -= 1;
                    taken.push(line);
                }
                None => refused += 1,
            }
            if self.lines.get(&way).is_some_and(VecDeque::is_empty) {
                self.lines.remove(&way);
            } else {
                self.order.push_back(way);
            }
        }
        taken
    }

    fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.lines.retain(|_, lines| {
            lines.retain(&keep);
            !lines.is_empty()
        });
        let lines = &self.lines;
        self.order.retain(|way| lines.contains_key(way));
        self.count = lines.values().map(VecDeque::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use relay_schemas::TenantId;

    use super::*;

    fn way(tenant: &str) -> Way {
        Way {
            tenant: TenantId::new(tenant),
            pools: Vec::new(),
        }
    }

    fn waiting(lines: &[(&str, u32)]) -> Waiting<u32> {
        let mut waiting = Waiting::default();
        for (tenant, line) in lines {
            waiting.push(&way(tenant), *line);
        }
        waiting
    }

    #[test]
    fn tenants_take_turns_however_many_lines_came_first() {
        let mut waiting = waiting(&[
            ("hog", 1),
            ("hog", 2),
            ("hog", 3),
            ("hog", 4),
            ("light", 5),
            ("other", 6),
        ]);
        assert_eq!(waiting.take(4, |_, _| true), [1, 5, 6, 2]);
        waiting.push(&way("light"), 7);
        assert_eq!(waiting.take(9, |_, _| true), [3, 7, 4]);
        assert_eq!((waiting.len(), waiting.has(&way("hog"))), (0, false));
    }

    #[test]
    fn one_that_finds_no_room_holds_nobody_up_and_keeps_its_order() {
        let mut waiting = waiting(&[("hog", 1), ("light", 2), ("hog", 3), ("light", 4)]);
        assert_eq!(waiting.take(9, |way, _| way.tenant.as_str() == "light"), [2, 4]);
        assert_eq!(
            (waiting.len(), waiting.take(9, |_, line| *line == 3)),
            (2, Vec::new())
        );
        assert_eq!(waiting.take(9, |_, _| true), [1, 3]);
    }

    #[test]
    fn what_is_no_longer_owned_is_forgotten() {
        let mut waiting = waiting(&[("a", 1), ("b", 2), ("a", 3)]);
        waiting.retain(|line| *line > 2);
        assert_eq!((waiting.len(), waiting.has(&way("b"))), (1, false));
        assert_eq!(waiting.take(9, |_, _| true), [3]);
    }
}
