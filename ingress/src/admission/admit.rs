//! From a checked call to a request that the client waits for, or to a refusal.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use relay_api::request::Parsed;
use relay_bus::Room;
use relay_clock::Clock;
use relay_lifecycle::{Patience, Tries, binds_key, is_of_another_body};
use relay_runner::{Identity, Shutdown};
use relay_schemas::{FoldedOffset, Outcome, Request, RequestId, TenantId};

use super::accept::{Accepted, Acceptor};
use super::keys::{HeldKey, Keys};
use super::limits::{Full, Limits, Permit};
use super::request::{self, Call};
use crate::answers::end::is_with_its_worker;
use crate::answers::form::Form;
use crate::answers::pending::{Holding, Pending};
use crate::answers::questions::Told;
use crate::answers::seen::Seen;
use crate::answers::waiter::{Waiter, Waiting};
use crate::cluster::peers::Peers;
use crate::cluster::readiness::{Dependency, Readiness};
use crate::ids::{self, Ids};
use crate::refusal::Refusal;

/// Least pause between two questions to a sink that cannot tell.
const LEAST_PAUSE: Duration = Duration::from_millis(10);

/// A request that the client now waits for.
pub struct Admitted {
    /// Its id.
    pub id: RequestId,
    /// The model asked for.
    pub model: String,
    /// Seconds since 1970.
    pub created: i64,
    /// How the answer is written.
    pub form: Form,
    /// Whether the answer leaves as events.
    pub stream: bool,
    /// Whether they end with the usage.
    pub include_usage: bool,
    /// Whether it has an idempotency key.
    pub keyed: bool,
    /// Where its answer comes from.
    pub source: Source,
}

/// Where an answer comes from.
pub enum Source {
    /// It runs, or will; or what it said is with its worker only.
    Running {
        /// Waits for it.
        waiter: Waiter,
        /// Whether the log has it.
        accepted: Accepted,
        /// Whether it ended before, under the same idempotency key.
        replayed: bool,
    },
    /// The record of its end.
    Recorded {
        /// How.
        outcome: Box<Outcome>,
        /// What it takes until it is read.
        holding: Holding,
    },
}

impl Source {
    /// Whether it ended before, under the same idempotency key.
    pub fn is_replayed(&self) -> bool {
        match self {
            Self::Running { replayed, .. } => *replayed,
            Self::Recorded { .. } => true,
        }
    }
}

/// How answers are followed.
#[derive(Debug, Clone, Copy)]
pub struct Following {
    /// Without an idempotency key.
    pub patience: Patience,
    /// With one: the frames may go to another ingress.
    pub keyed_patience: Patience,
    /// Most bytes of one answer held for a client that reads slowly; the rest is asked for again once it reads on.
    pub most_unread: usize,
}

/// What a call holds whose body has been read.
pub struct Entered {
    /// Its place in flight.
    pub place: Permit,
    /// The room that its body takes, until the log has it.
    pub room: Permit,
}

/// What a request holds while it is waited for.
struct Place {
    entered: Entered,
    key: Option<HeldKey>,
    met: Met,
}

/// What a request meets under its key.
struct Found {
    id: RequestId,
    key: Option<HeldKey>,
    met: Met,
}

enum Met {
    /// Nothing that is known to tables that are folded as far as that.
    Nothing(Vec<FoldedOffset>),
    /// A request that this ingress waits for already.
    Running,
    /// An end that the key is bound to.
    Bound(Box<Outcome>),
}

impl Found {
    fn unkeyed(id: RequestId) -> Self {
        Self {
            id,
            key: None,
            met: Met::Nothing(Vec::new()),
        }
    }
}

/// The way in, for every operation.
pub struct Admission {
    /// Places in flight.
    pub limits: Arc<Limits>,
    /// Bytes of bodies that the log has not acknowledged yet.
    pub bodies: Arc<Limits>,
    /// Bytes of answers that clients have yet to read.
    pub unread: Arc<Limits>,
    /// Idempotency keys in use.
    pub keys: Arc<Keys>,
    /// What other ingresses hold.
    pub peers: Arc<Peers>,
    /// Whether the request could be accepted and answered at all.
    pub readiness: Arc<Readiness>,
    /// Whether this ingress ends.
    pub shutdown: Shutdown,
    /// Hands requests to the log.
    pub acceptor: Acceptor,
    /// The wait for answers.
    pub waiting: Arc<Waiting>,
    /// Which outcomes were read lately.
    pub seen: Arc<Mutex<Seen>>,
    /// How they are followed.
    pub following: Following,
    /// Where answers are to go.
    pub identity: Identity,
    /// What a client that is refused is told to wait.
    pub retry_after: Duration,
    /// When requests are accepted.
    pub clock: Clock,
    /// Names what has no key.
    pub ids: Ids,
}

impl Admission {
    /// A place in flight for `tenant`.
    ///
    /// # Errors
    /// Where there is none.
    pub fn enter(&self, tenant: &TenantId) -> Result<Permit, Refusal> {
        self.limits.take(tenant, 1).map_err(|full| {
            let message = match full {
                Full::Tenant => "this tenant has too many requests in flight; wait for some to end",
                Full::All => "the gateway has too many requests in flight; ask again later",
            };
            Refusal::busy("too_many_in_flight", message, self.retry_after)
        })
    }

    /// Has the log accept the request, unless it is known under its key already. `named` is told its id as soon as it has one.
    ///
    /// # Errors
    /// Where it was not accepted.
    pub async fn admit(
        &self,
        call: &Call,
        parsed: Parsed,
        entered: Entered,
        named: impl FnOnce(&RequestId),
    ) -> Result<Admitted, Refusal> {
        self.reachable()?;
        let form = Form::of(parsed.operation, &parsed.body);
        let now = self.clock.now();
        let found = match &call.key {
            None => Found::unkeyed(self.ids.fresh()),
            Some(key) => tokio::select! {
                biased;
                found = self.find(call, key, &parsed.request_hash) => found?,
                () = self.shutdown.draining() => return Err(self.shutting_down()),
            },
        };
        named(&found.id);
        let request = Arc::new(request::of_call(call, found.id, parsed, &self.identity, now));
        let source = match found.met {
            Met::Bound(outcome) if !is_with_its_worker(&outcome) => {
                let holding = self.holding(&call.tenant, entered.place, None);
                Source::Recorded { outcome, holding }
            }
            met => {
                let key = found.key;
                let place = Place { entered, key, met };
                self.run(&request, place, call.traceparent.as_deref()).await?
            }
        };
        Ok(Admitted {
            id: request.request_id.clone(),
            model: request.model.clone(),
            created: request.accepted_at.0 / 1_000,
            form,
            stream: request.stream,
            include_usage: request.include_usage,
            keyed: call.key.is_some(),
            source,
        })
    }

    /// Refuses at once what could not be accepted or answered anyway.
    fn reachable(&self) -> Result<(), Refusal> {
        if self.shutdown.is_draining() {
            return Err(self.shutting_down());
        }
        let what = if !self.readiness.answers_arrive() {
            "answers cannot reach this gateway now"
        } else if self.acceptor.bus.room() != Room::Enough {
            // Before the log itself is asked for: on a full disk that takes nothing either.
            return Err(Refusal::insufficient_storage(self.retry_after));
        } else if !self.readiness.is_up(Dependency::Bus) {
            "the log cannot be reached now"
        } else {
            return Ok(());
        };
        Err(Refusal::unavailable(what, self.retry_after))
    }

    /// Of what was not accepted when this gateway began to end.
    pub fn shutting_down(&self) -> Refusal {
        Refusal::unavailable("this gateway is shutting down", self.retry_after)
    }

    /// What a request under a key meets. The key is held before the first wait, so that nothing comes between looking and taking.
    async fn find(&self, call: &Call, key: &str, request_hash: &str) -> Result<Found, Refusal> {
        let id = |number| ids::keyed(&call.tenant, key, number);
        let held = self.keys.hold(&id(0), request_hash);
        let held = held.ok_or_else(Refusal::key_reused)?;
        self.peers.claim(&id(0), request_hash, call.deadline_ms).await;
        let mut tries = Tries::default();
        let mut first = None;
        while let Some(number) = tries.next() {
            let id = id(number);
            let met = if self.waiting.routes.runs_here(&id) {
                Met::Running
            } else {
                match self.winner(&id).await? {
                    Told::Ended(outcome) if binds_key(outcome.status, outcome.usage) => Met::Bound(outcome),
                    Told::Ended(_) | Told::Forgotten => {
                        tries.is_over(number);
                        continue;
                    }
                    Told::Unended(folded) => Met::Nothing(folded),
                }
            };
            tries.meets(number);
            first = Some((id, met));
        }
        let (found, met) = first.expect("the search ends where a try was met");
        if let Met::Bound(outcome) = &met
            && is_of_another_body(outcome, request_hash)
        {
            return Err(Refusal::key_reused());
        }
        // Looked at last: what others claimed meanwhile has arrived by now.
        if matches!(met, Met::Nothing(_)) && self.peers.go_first(&id(0), request_hash).await {
            return Err(Refusal::key_reused());
        }
        held.accept();
        let key = Some(held);
        Ok(Found { id: found, key, met })
    }

    /// How the request ended before, if it did. A sink that cannot tell is asked again for a while, for it may only be starting;
    /// then the request is refused: the stages remember who won for a while only, so that a repeat that was accepted would run
    /// and be paid again, or wait for an end told long ago.
    async fn winner(&self, request: &RequestId) -> Result<Told, Refusal> {
        let patience = self.following.keyed_patience;
        let [most, pause] = [patience.untold_ms, patience.silence_ms]
            .map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
        let began = self.clock.instant();
        loop {
            if let Ok(told) = self.waiting.questions.winner(request).await {
                return Ok(told);
            }
            if self.clock.since(began) >= most {
                return Err(Refusal::key_unknown(self.retry_after));
            }
            tokio::time::sleep(pause.clamp(LEAST_PAUSE, most.max(LEAST_PAUSE))).await;
        }
    }

    fn holding(&self, tenant: &TenantId, place: Permit, key: Option<HeldKey>) -> Holding {
        Holding {
            place: Some(place),
            key,
            unread: self.unread.nothing(tenant),
        }
    }

    /// Waits for the request, and publishes it unless this ingress waits for it already, or it has ended. A request that another ingress
    /// accepted under the same key is published again: the stages behind drop the duplicate, and the sink tells its end.
    async fn run(
        &self,
        request: &Arc<Request>,
        place: Place,
        traceparent: Option<&str>,
    ) -> Result<Source, Refusal> {
        let Place {
            entered: Entered { place, room },
            key,
            met,
        } = place;
        let patience = match request.idempotency_key {
            Some(_) => self.following.keyed_patience,
            None => self.following.patience,
        };
        let holding = self.holding(&request.tenant, place, key);
        let (most_unread, now) = (self.following.most_unread, self.clock.steady());
        let pending = Pending::new(request, patience, most_unread, holding, now);
        // In place before the request is published: its first frame may come before the acknowledgement.
        let pending = Arc::new(pending);
        let waiter = self.waiting.begin(Arc::clone(&pending), request);
        let met_again = |waiter, replayed| Source::Running {
            waiter,
            accepted: Accepted::Yes,
            replayed,
        };
        match met {
            Met::Running => return Ok(met_again(waiter, false)),
            Met::Bound(outcome) => {
                pending.on_winner(&outcome, now);
                return Ok(met_again(waiter, true));
            }
            // Now that outcomes reach it: each was read before and is remembered, or is told.
            Met::Nothing(folded) => {
                if !folded.is_empty() && self.seen.lock().reads_the_first(&request.request_id, &folded) {
                    pending.log_decides();
                }
            }
        }
        let accepted = self.acceptor.accept(request, traceparent).await;
        // From here on the log has its body, or nobody has.
        drop(room);
        match accepted {
            Ok(accepted) => Ok(Source::Running {
                waiter,
                accepted,
                replayed: false,
            }),
            Err(refusal) => {
                waiter.dismiss();
                Err(refusal)
            }
        }
    }
}
