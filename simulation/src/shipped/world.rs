//! One run: the processes, what happens to them, and what clients were told.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use relay_clock::LifeState;
use relay_schemas::TimestampMs;

use super::client::{self, Told};
use super::evidence::Evidence;
use super::schedule::{Actor, Call, Op, Schedule};
use super::services::{Door, start};
use super::stand::{Process, Stand};

/// How long after the last client was told what has not ended never will.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// See the module.
pub(crate) struct World {
    pub stand: Stand,
    processes: RefCell<BTreeMap<Actor, Process>>,
    doors: RefCell<BTreeMap<u8, Door>>,
    killed: RefCell<Vec<(Actor, TimestampMs)>>,
}

impl World {
    /// All processes are started.
    pub fn new(seed: u64) -> Self {
        let world = Self {
            stand: Stand::new(seed),
            processes: RefCell::default(),
            doors: RefCell::default(),
            killed: RefCell::default(),
        };
        for actor in Actor::ALL {
            world.start(actor);
        }
        world
    }

    /// Lets happen what is to happen, and waits until all of it has come to an end.
    pub async fn run(&self, schedule: &Schedule) -> (Evidence, Vec<(Call, Told)>) {
        let happen = |(at, op): &(Duration, Op)| {
            let (at, op) = (*at, op.clone());
            async move {
                tokio::time::sleep(at).await;
                match op {
                    Op::Ask(call) => Some(self.ask(call).await),
                    Op::Kill(actor, away) => {
                        self.kill(actor, away).await;
                        None
                    }
                }
            }
        };
        let told = join_all(schedule.events.iter().map(happen)).await;
        let mut evidence = Evidence::new(&self.stand);
        let whole = async {
            while !evidence.is_whole().await.expect("the log answers") {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        // What is missing then is for the check to tell.
        let _ = tokio::time::timeout(PATIENCE, whole).await;
        (evidence, told.into_iter().flatten().collect())
    }

    /// What was killed when.
    pub fn killed(&self) -> Vec<(Actor, TimestampMs)> {
        self.killed.borrow().clone()
    }

    async fn ask(&self, call: Call) -> (Call, Told) {
        let door = self.doors.borrow().get(&call.ingress).cloned();
        let name = format!("client of ingress-{}", call.ingress);
        self.stand.trace.line(&name, format_args!("asks {call:?}"));
        let told = client::ask(door.as_ref(), &call).await;
        self.stand.trace.line(&name, format_args!("was told {told:?}"));
        (call, told)
    }

    async fn kill(&self, actor: Actor, away: Duration) {
        let process = self.processes.borrow_mut().remove(&actor);
        // It may be away already.
        if let Some(process) = process {
            process.kill();
            let now = self.stand.clock.now();
            self.killed.borrow_mut().push((actor, now));
            tokio::time::sleep(away).await;
            self.start(actor);
        }
    }

    fn start(&self, actor: Actor) {
        let (process, door) = start(&self.stand, actor);
        debug_assert_eq!(process.life.state(), LifeState::Alive);
        if let (Actor::Ingress(number), Some(door)) = (actor, door) {
            self.doors.borrow_mut().insert(number, door);
        }
        self.processes.borrow_mut().insert(actor, process);
    }
}
