//! Who is connected, who is cut off, and what may happen to whom.
//!
//! On the switchboard a message goes to `SENDER.SUBJECT`, and listeners listen to `*.PATTERN`: so each knows whose message it has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use relay_clock::{Clock, Life, LifeState, seed_of};

use super::faults::{Asking, Faults};
use super::way::Way;
use crate::api::{ControlError, Message};
use crate::in_process::subjects::Member;
use crate::in_process::{InProcessOptions, Switchboard};
use crate::queue::{Most, Queue};

pub(super) struct Seam {
    pub(super) options: InProcessOptions,
    pub(super) clock: Clock,
    switchboard: Switchboard,
    seed: u64,
    connected: Mutex<Connected>,
}

#[derive(Default)]
struct Connected {
    /// In the order in which they were made.
    connections: Vec<Arc<Connection>>,
    /// How many there were of each name.
    lives: BTreeMap<String, u64>,
    cut_off: BTreeSet<String>,
    faults: BTreeMap<String, Faults>,
}

/// The connection of one life of a process.
pub(super) struct Connection {
    pub(super) life: Arc<Life>,
    name: String,
    chance: Mutex<SmallRng>,
    /// To its listeners, in the order in which they began.
    ways: Mutex<Vec<Arc<Way>>>,
}

impl Seam {
    pub(super) fn new(options: InProcessOptions, clock: Clock, seed: u64) -> Self {
        Self {
            options,
            clock,
            switchboard: Switchboard::default(),
            seed,
            connected: Mutex::default(),
        }
    }

    pub(super) fn connect(&self, name: &str, life: Arc<Life>) -> Arc<Connection> {
        assert!(
            !name.is_empty() && !name.contains(['.', '*', '>']),
            "`{name}` is no token of a subject"
        );
        let mut connected = self.connected.lock();
        let nth = connected.lives.entry(name.to_owned()).or_default();
        *nth += 1;
        let connection = Arc::new(Connection {
            life,
            name: name.to_owned(),
            chance: Mutex::new(self.chance(name, *nth)),
            ways: Mutex::default(),
        });
        connected.connections.push(Arc::clone(&connection));
        connection
    }

    /// Of its own for each life, so that what happens to one process changes nothing of another's chance.
    fn chance(&self, name: &str, nth: u64) -> SmallRng {
        SmallRng::seed_from_u64(seed_of(self.seed, name, nth))
    }

    pub(super) fn disturb(&self, name: &str, faults: Faults) {
        self.connected.lock().faults.insert(name.to_owned(), faults);
    }

    pub(super) fn cut_off(&self, name: &str) {
        let mut connected = self.connected.lock();
        if connected.cut_off.insert(name.to_owned()) {
            for connection in connected.of(name) {
                self.forget(connection);
            }
        }
    }

    pub(super) fn reconnect(&self, name: &str) {
        let mut connected = self.connected.lock();
        if connected.cut_off.remove(name) {
            for connection in connected.of(name) {
                for way in &*connection.ways.lock() {
                    self.switchboard.tree.write().add(&way.member);
                    way.lose();
                }
            }
        }
    }

    /// Whether `connection` is there.
    pub(super) fn reaches(&self, connection: &Connection) -> Result<(), ControlError> {
        if self.connected.lock().cut_off.contains(&connection.name) {
            return Err(ControlError::Unavailable(format!(
                "{} is cut off",
                connection.name
            )));
        }
        Ok(())
    }

    /// Sends a message on its way to all who listen; says to how many. What happens to it on each way is drawn now: by the order in
    /// which it is heard, one listener's fate would be another's.
    pub(super) fn deliver(&self, from: &Connection, message: &Message) -> usize {
        self.bury();
        let now = self.clock.instant();
        let recipients = self
            .switchboard
            .recipients(&format!("{}.{}", from.name, message.subject));
        let connected = self.connected.lock();
        for connection in &connected.connections {
            let faults = connected.faults_of(connection);
            for way in &*connection.ways.lock() {
                let is_meant = |queue: &Arc<Queue>| Arc::ptr_eq(queue, &way.member.queue);
                if recipients.iter().any(is_meant) {
                    let fate = faults.of_message(&mut *connection.chance.lock());
                    way.send(&from.name, message.clone(), fate, now);
                }
            }
        }
        recipients.len()
    }

    /// A subject for one answer.
    pub(super) fn inbox(&self) -> String {
        self.switchboard.inbox()
    }

    /// One that is cut off is not heard of before it is back.
    pub(super) fn listen(
        &self,
        connection: &Connection,
        pattern: &str,
        group: Option<&str>,
        most: Most,
    ) -> Arc<Way> {
        let way = Arc::new(Way::new(Member {
            subject: format!("*.{pattern}"),
            group: group.map(str::to_owned),
            queue: Arc::new(Queue::new(most)),
        }));
        let connected = self.connected.lock();
        connection.ways.lock().push(Arc::clone(&way));
        if !connected.cut_off.contains(&connection.name) {
            self.switchboard.tree.write().add(&way.member);
        }
        way
    }

    pub(super) fn leave(&self, connection: &Connection, way: &Arc<Way>) {
        self.switchboard.tree.write().remove(&way.member);
        connection.ways.lock().retain(|one| !Arc::ptr_eq(one, way));
    }

    /// Ends a connection, for all of its listeners.
    pub(super) fn close(&self, connection: &Arc<Connection>) {
        let mut connected = self.connected.lock();
        connected.connections.retain(|one| !Arc::ptr_eq(one, connection));
        self.forget(connection);
        for way in &*connection.ways.lock() {
            way.close();
        }
    }

    pub(super) fn of_question(&self, connection: &Connection) -> Asking {
        let faults = self.connected.lock().faults_of(connection);
        faults.of_question(&mut *connection.chance.lock())
    }

    /// A connection ends with its process, whoever still has it in hand.
    fn bury(&self) {
        let mut connected = self.connected.lock();
        connected.connections.retain(|connection| {
            let lives = connection.life.state() != LifeState::Dead;
            if !lives {
                self.forget(connection);
            }
            lives
        });
    }

    /// Nothing reaches its listeners any more, not even what is on its way to them.
    fn forget(&self, connection: &Connection) {
        let now = self.clock.instant();
        let mut tree = self.switchboard.tree.write();
        for way in &*connection.ways.lock() {
            tree.remove(&way.member);
            way.cut(now);
        }
    }
}

impl Connected {
    fn of(&self, name: &str) -> impl Iterator<Item = &Arc<Connection>> {
        let of_name = move |connection: &&Arc<Connection>| connection.name == name;
        self.connections.iter().filter(of_name)
    }

    fn faults_of(&self, connection: &Connection) -> Faults {
        self.faults.get(&connection.name).copied().unwrap_or_default()
    }
}
