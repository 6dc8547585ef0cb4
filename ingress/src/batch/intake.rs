//! Lines in: checked by the same code as HTTP requests, and published as requests of the batch class.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use prometheus::IntCounterVec;
use relay_bus::{Bus, Outgoing, Partition, Position, Record, Room, decode, traceparent_of};
use relay_clock::{Clock, millis};
use relay_runner::{Shutdown, Stage, StageError, Step, crash_point};
use relay_schemas::{BatchRequest, Registry, Request, Service, TimestampMs};

use super::line::{LineRules, access_of, over, request_of, result_of};
use super::name::{LineName, name_of};
use super::repeats::Repeats;
use super::turns::{Candidate, Turn, Turns};
use super::verdict::verdict;
use crate::access::Access;
use crate::admission::accept;
use crate::refusal::Refusal;

/// Pause between two looks of a line that has to be held.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The stage.
pub struct Intake {
    /// Other writers' schemas.
    pub schemas: Arc<Registry>,
    /// What a line may ask for.
    pub rules: LineRules,
    /// Whether the log has room for new work.
    pub bus: Arc<dyn Bus>,
    /// Whose line comes next.
    pub turns: Arc<Turns>,
    /// Whether a line that was read before has ended.
    pub repeats: Repeats,
    /// Counts lines, by what became of them.
    pub lines: IntCounterVec,
    /// Ends the waiting for a turn.
    pub shutdown: Shutdown,
    /// For crash points.
    pub service: Service,
    /// When lines are accepted.
    pub clock: Clock,
}

/// What is found of a line that may be let in.
enum Look {
    /// It was read before, and has ended.
    Repeated,
    Turn(Turn),
}

impl Intake {
    /// Whether it is this line's turn, unless it ended before. What must wait a drain leaves in the log.
    async fn look(&self, record: &Record, request: &Request) -> Look {
        let looking = async {
            // Before its turn: what has ended takes nobody's room.
            let repeats = self.repeats.has_ended(&record.position, &request.request_id);
            if repeats.await {
                return Look::Repeated;
            }
            Look::Turn(self.turn(record, request).await)
        };
        tokio::select! {
            biased;
            look = looking => look,
            () = self.shutdown.draining() => Look::Turn(Turn::Hold),
        }
    }

    async fn turn(&self, record: &Record, request: &Request) -> Turn {
        let left_ms = millis(self.rules.longest_wait.saturating_sub(self.age(record)));
        let line = Candidate {
            position: &record.position,
            tenant: &request.tenant,
            model: &request.model,
            bytes: record.value.as_deref().map_or(0, <[u8]>::len),
            until: self.clock.steady().plus_ms(left_ms),
        };
        loop {
            let room = self.bus.room() == Room::Enough;
            match self.turns.read(&line, room, self.clock.steady()) {
                Turn::Hold => tokio::time::sleep(LOOK_AGAIN).await,
                turn => return turn,
            }
        }
    }

    /// A line that does not become a request.
    fn turned_away(
        &self,
        line: &BatchRequest,
        record: &Record,
        refusal: &Refusal,
        now: TimestampMs,
    ) -> Step<Became> {
        let name = name_of(line);
        let access = Box::new(access_of(name.clone(), Some(line), refusal));
        let became = Became::Refused(access, self.age(record));
        Step::publish_then(result_of(name, refusal, now), became)
    }

    /// How long a line has been in the log.
    fn age(&self, record: &Record) -> Duration {
        let age_ms = self.clock.now_for(record.timestamp).since_ms(record.timestamp);
        Duration::from_millis(u64::try_from(age_ms).unwrap_or(0))
    }

    fn count(&self, result: &str) {
        self.lines.with_label_values(&[result]).inc();
    }
}

#[async_trait]
impl Stage for Intake {
    type Effect = Became;

    async fn on_record(&self, record: &Record) -> Result<Step<Self::Effect>, StageError> {
        let line: BatchRequest = decode(&self.schemas, record)?;
        let now = self.clock.now();
        match request_of(&line, &self.rules, now) {
            Err(refusal) => {
                self.count("invalid");
                Ok(self.turned_away(&line, record, &refusal, now))
            }
            Ok(request) => {
                match self.look(record, &request).await {
                    Look::Repeated => {
                        self.turns.forget(&record.position);
                        self.count("repeated");
                        return Ok(Step::nothing());
                    }
                    Look::Turn(Turn::Now) => {}
                    Look::Turn(Turn::PutOff | Turn::Hold) => {
                        self.count("put_off");
                        return Ok(Step::put_off());
                    }
                    Look::Turn(Turn::Over) => {
                        self.count("expired");
                        return Ok(self.turned_away(&line, record, &over(), now));
                    }
                }
                self.count("accepted");
                crash_point(self.service, "before_accept");
                let traceparent = traceparent_of(&record.headers);
                Ok(Step::publish_then(
                    accept::record(&Arc::new(request), traceparent.as_deref()),
                    Became::Accepted,
                ))
            }
        }
    }

    async fn recall(&self) -> Vec<Position> {
        loop {
            self.turns.heard().await;
            if self.bus.room() != Room::Enough {
                continue;
            }
            let due = self.turns.due(self.clock.steady());
            if !due.is_empty() {
                return due;
            }
        }
    }

    async fn on_partitions(&self, owned: &[Partition]) {
        self.turns.keep(owned);
        self.repeats.keep(&*self.bus, owned).await;
    }

    fn last_words(&self, record: &Record, reason: &str) -> Vec<Outgoing> {
        self.count("given_up");
        self.turns.forget(&record.position);
        let line = decode(&self.schemas, record).ok();
        let result = |(name, refusal): (LineName, Refusal)| {
            access_of(name.clone(), line.as_ref(), &refusal).log(self.age(record));
            result_of(name, &refusal, self.clock.now())
        };
        verdict(record, line.as_ref(), reason)
            .map(result)
            .into_iter()
            .collect()
    }

    async fn after_ack(&self, became: Became) {
        match became {
            Became::Accepted => crash_point(self.service, "after_accept"),
            Became::Refused(access, latency) => access.log(latency),
        }
    }
}

/// What the log has of a line from now on.
pub enum Became {
    /// A request.
    Accepted,
    /// A result; what its access line says, and how long it took.
    Refused(Box<Access>, Duration),
}
