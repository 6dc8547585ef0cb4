use std::time::Duration;

use relay_schemas::WorkerStatus;

use super::*;
use crate::config::BatchConfig;

fn turns(most: usize) -> Turns {
    let config = BatchConfig {
        waiting_limit: 100,
        status_stale: Duration::from_secs(1),
        ..BatchConfig::default()
    };
    let models = Models::new(Duration::from_secs(1));
    Turns::new(Gate::new(&config), Arc::new(Mutex::new(models)), most, 7)
}

fn at(offset: i64) -> Position {
    Position {
        partition: Partition::new("lines", 0),
        offset,
    }
}

impl Turns {
    fn line(&self, offset: i64, model: &str, now: i64) -> Turn {
        let line = Candidate {
            position: &at(offset),
            tenant: &TenantId::new("acme"),
            model,
            bytes: 1,
            until: TimestampMs(1_000_000),
        };
        self.read(&line, true, TimestampMs(now))
    }

    /// A worker runs `big` in `pool`.
    fn worker(&self, pool: &str, now: i64) {
        let status = WorkerStatus {
            worker: pool.into(),
            epoch: 1,
            pool: pool.to_owned(),
            models: vec!["big".to_owned()],
            capacity: Vec::new(),
            seq: 0,
            short_partitions: Vec::new(),
            long_partitions: Vec::new(),
            short_slots: 1,
            long_slots: 1,
            in_flight: Vec::new(),
            returned: Vec::new(),
            draining: false,
            sent_at: TimestampMs(0),
        };
        self.models.lock().on_status(status, TimestampMs(now));
    }

    /// A pool tells that so many lines wait in it, of nobody in particular.
    fn pool(&self, pool: &str, waiting_batch: u32, now: i64) {
        let status = PoolStatus {
            pool: pool.to_owned(),
            scheduler: "s".into(),
            epoch: 1,
            waiting_interactive: 0,
            waiting_batch,
            batch_bytes: 0,
            batch_tenants: Vec::new(),
            running: 0,
            sent_at: TimestampMs(0),
        };
        self.on_status(status, TimestampMs(now));
    }

    fn due_at(&self, now: i64) -> Vec<i64> {
        let due = self.due(TimestampMs(now)).into_iter();
        due.map(|position| position.offset).collect()
    }
}

const FULL: u32 = 1_000;

#[test]
fn a_line_that_was_put_off_comes_where_its_model_has_moved_to() {
    let turns = turns(10);
    turns.worker("a", 0);
    turns.pool("a", FULL, 0);
    assert_eq!(turns.line(1, "big", 0), Turn::PutOff);
    // Pool `a` is taken away.
    turns.worker("b", 5_000);
    turns.pool("b", 0, 5_000);
    assert_eq!(
        turns.line(2, "big", 5_000),
        Turn::PutOff,
        "behind the one that waits"
    );
    assert_eq!(turns.due_at(5_000), [1, 2]);
    assert_eq!(turns.line(1, "big", 5_000), Turn::Now);
    assert_eq!(turns.line(2, "big", 5_000), Turn::Now);
}

#[test]
fn a_line_that_was_put_off_while_its_worker_was_silent_needs_room_only_where_that_is_once_it_speaks() {
    let turns = turns(10);
    turns.pool("full", FULL, 0);
    turns.pool("b", 0, 0);
    assert_eq!(turns.line(1, "big", 0), Turn::PutOff, "it may go to either");
    turns.worker("b", 10);
    turns.pool("full", FULL, 10);
    turns.pool("b", 0, 10);
    assert_eq!(turns.due_at(10), [1]);
}

#[test]
fn lines_that_are_held_come_in_once_those_that_were_put_off_have() {
    let turns = turns(1);
    turns.pool("default", FULL, 0);
    assert_eq!(turns.line(1, "big", 0), Turn::PutOff);
    assert_eq!(turns.line(2, "big", 0), Turn::Hold);
    turns.pool("default", 0, 1);
    assert_eq!(turns.line(2, "big", 1), Turn::Hold, "one of its kind came first");
    assert_eq!(turns.due_at(1), [1]);
    assert_eq!(turns.line(2, "big", 1), Turn::Now);
}

#[test]
fn a_line_whose_turn_never_comes_is_over_in_time_and_one_for_which_there_is_room_by_then_is_let_in() {
    let turns = turns(10);
    turns.pool("default", FULL, 0);
    assert_eq!(turns.line(1, "big", 0), Turn::PutOff);
    turns.pool("default", FULL, 999_999);
    assert_eq!(turns.due_at(999_999), [0; 0]);
    turns.pool("default", FULL, 1_000_000);
    assert_eq!(turns.due_at(1_000_000), [1]);
    assert_eq!(turns.line(1, "big", 1_000_000), Turn::Over);
    assert_eq!(
        turns.line(2, "big", 1_000_000),
        Turn::PutOff,
        "no scheduler was asked yet"
    );
    turns.pool("default", 0, 1_000_001);
    assert_eq!(turns.due_at(1_000_001), [2]);
    assert_eq!(turns.line(2, "big", 1_000_001), Turn::Now);
}

#[test]
fn what_a_recall_did_not_find_is_forgotten() {
    let turns = turns(10);
    turns.pool("default", FULL, 0);
    assert_eq!(turns.line(1, "big", 0), Turn::PutOff);
    turns.pool("default", 0, 1);
    assert_eq!(turns.due_at(1), [1]);
    turns.forget(&at(1));
    assert!(turns.state.lock().recalled.is_empty());
}
