//! The life of a request: `accepted → planned → queued → leased(attempt) → streaming → ended`, and who may do what in it.
//! From `queued` on it may be handed over to another pool, where it waits for the next attempt.
//!
//! Delivery is at least once, so everything may happen again: what repeats a step changes nothing, and after the first
//! end nothing does. What must never happen is a step that leaves another one out, or an end by someone who does not
//! have the request in hand.

use relay_schemas::{Outcome, OutcomeStatus, Service};

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It has an id and is in no log.
    New,
    /// It is in the log.
    Accepted,
    /// It has a plan.
    Planned,
    /// The cache had no answer; it waits for a worker.
    Queued,
    /// A worker may run it, in this attempt (from 1).
    Leased(u32),
    /// That attempt has produced a token.
    Streaming(u32),
    /// It waits in another pool, after so many attempts.
    HandedOver(u32),
    /// It ended thus; nothing follows.
    Ended(OutcomeStatus),
}

/// What happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The ingress has written it down.
    Accept,
    /// The planner has planned it.
    Plan,
    /// The cache service has handed it on.
    Queue,
    /// The scheduler has leased it out, in this attempt.
    Lease(u32),
    /// A worker has produced a token in this attempt.
    Token(u32),
    /// The scheduler has handed it over to another pool, after so many attempts.
    HandOver(u32),
    /// An outcome was written.
    End {
        /// By whom.
        by: Service,
        /// What it says.
        status: OutcomeStatus,
        /// Where the request stood for its writer; `None` where only headers could be read.
        from: Option<State>,
    },
}

/// Something that must never happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Steps were left out.
    #[error("{1:?} cannot follow on {0:?}")]
    Skipped(State, Event),
    /// It was ended by someone who may not.
    #[error("{0:?} must not happen: it is not theirs to say")]
    NotTheirs(Event),
}

impl State {
    /// Whether `service` may end a request that stands here with `status` (DESIGN.md, "who may end it").
    pub const fn may_end(self, service: Service, status: OutcomeStatus) -> bool {
        use OutcomeStatus as O;
        use Service as S;
        let leased = matches!(self, Self::Leased(_) | Self::Streaming(_));
        let waits = matches!(self, Self::Queued | Self::HandedOver(_));
        match (service, status) {
            (S::Ingress, O::Refused) => matches!(self, Self::New),
            // The ingress's sweeper knows that a request was accepted, not how far it came.
            (S::Ingress, O::Expired) | (S::Planner, O::Failed | O::Expired) => {
                matches!(self, Self::Accepted)
            }
            (S::CacheService, O::Cached | O::Expired) => matches!(self, Self::Planned),
            (S::Scheduler, O::Rejected) => waits,
            (S::Scheduler, O::Expired | O::Cancelled) => leased || waits,
            (S::Scheduler, O::Failed)
            | (S::Workers, O::Completed | O::Failed | O::Expired | O::Cancelled) => leased,
            (S::Runner, O::Failed) => !matches!(self, Self::Ended(_)),
            _ => false,
        }
    }

    /// What follows on `event`; the same state where it only repeats what was.
    pub fn after(self, event: Event) -> Result<Self, Violation> {
        let next = match event {
            Event::Accept => Self::Accepted,
            Event::Plan => Self::Planned,
            Event::Queue => Self::Queued,
            Event::Lease(attempt) => Self::Leased(attempt),
            Event::Token(attempt) => Self::Streaming(attempt),
            Event::HandOver(attempts) => Self::HandedOver(attempts),
            Event::End { by, status, from } => return self.ended(event, by, status, from),
        };
        if next.place() <= self.place() {
            return Ok(self);
        }
        let follows = match (self, next) {
            (Self::New, Self::Accepted)
            | (Self::Accepted, Self::Planned)
            | (Self::Planned, Self::Queued)
            | (Self::Queued, Self::Leased(1)) => true,
            (Self::Leased(now), Self::Streaming(attempt)) => attempt == now,
            (Self::Queued, Self::HandedOver(attempts)) => attempts == 0,
            (Self::Leased(now) | Self::Streaming(now), Self::HandedOver(attempts)) => attempts == now,
            (Self::Leased(now) | Self::Streaming(now) | Self::HandedOver(now), Self::Leased(attempt)) => {
                attempt == now + 1
            }
            _ => false,
        };
        if follows {
            Ok(next)
        } else {
            Err(Violation::Skipped(self, event))
        }
    }

    fn ended(
        self,
        event: Event,
        by: Service,
        status: OutcomeStatus,
        from: Option<Self>,
    ) -> Result<Self, Violation> {
        let theirs = match from {
            Some(from) => from.may_end(by, status),
            None => may_end(by, status),
        };
        if !theirs {
            return Err(Violation::NotTheirs(event));
        }
        match (self, from) {
            (Self::Ended(_), _) => Ok(self),
            (_, Some(from)) if from.place() > self.place() => Err(Violation::Skipped(self, event)),
            _ => Ok(Self::Ended(status)),
        }
    }

    /// Its place in a life; later attempts lie behind the tokens of earlier ones.
    const fn place(self) -> (u8, u32, u8) {
        match self {
            Self::New => (0, 0, 0),
            Self::Accepted => (1, 0, 0),
            Self::Planned => (2, 0, 0),
            Self::Queued => (3, 0, 0),
            Self::Leased(attempt) => (4, attempt, 0),
            Self::Streaming(attempt) => (4, attempt, 1),
            Self::HandedOver(attempts) => (4, attempts, 2),
            Self::Ended(_) => (5, 0, 0),
        }
    }

    /// Where a request stood for who wrote this outcome: what it had made of it and not handed on counts for nothing yet.
    fn seen_by_the_writer_of(outcome: &Outcome) -> Option<Self> {
        outcome.request.as_ref()?;
        let furthest = match (&outcome.lease, &outcome.caching, &outcome.planning) {
            (Some(lease), ..) => Self::Leased(lease.attempt),
            (None, Some(_), _) => Self::Queued,
            (None, None, Some(_)) => Self::Planned,
            (None, None, None) => Self::Accepted,
        };
        Some(match (outcome.run.service, furthest) {
            (Service::Planner, Self::Planned) => Self::Accepted,
            (Service::CacheService, Self::Queued) => Self::Planned,
            _ => furthest,
        })
    }
}

impl Event {
    /// The end that `outcome` tells.
    pub fn end_of(outcome: &Outcome) -> Self {
        Self::End {
            by: outcome.run.service,
            status: outcome.status,
            from: State::seen_by_the_writer_of(outcome),
        }
    }

    /// Whether this is no end, or one by someone who may end a request thus, as far as they knew it.
    pub fn is_theirs(self) -> bool {
        !matches!(
            State::Ended(OutcomeStatus::Failed).after(self),
            Err(Violation::NotTheirs(_))
        )
    }
}

/// Whether `service` may end a request with `status` somewhere in its life.
pub fn may_end(service: Service, status: OutcomeStatus) -> bool {
    use State::{Accepted, Leased, New, Planned, Queued};
    let places = [New, Accepted, Planned, Queued, Leased(1)];
    places.iter().any(|state| state.may_end(service, status))
}

#[cfg(test)]
mod tests {
    use super::Event::{Accept, HandOver, Lease, Plan, Queue, Token};
    use super::State::{Accepted, Ended, HandedOver, Leased, New, Planned, Queued, Streaming};
    use super::*;

    use OutcomeStatus as O;
    use Service as S;

    const COMPLETED: Event = end(S::Workers, O::Completed, Some(Leased(1)));

    const fn end(by: Service, status: OutcomeStatus, from: Option<State>) -> Event {
        Event::End { by, status, from }
    }

    fn lives(events: &[Event]) -> Result<State, Violation> {
        events.iter().try_fold(New, |state, event| state.after(*event))
    }

    #[test]
    fn a_request_goes_through_its_life_in_order() {
        let whole = [Accept, Plan, Queue, Lease(1), Token(1), COMPLETED];
        let states = [
            Accepted,
            Planned,
            Queued,
            Leased(1),
            Streaming(1),
            Ended(O::Completed),
        ];
        for (most, state) in states.into_iter().enumerate() {
            assert_eq!(lives(&whole[..=most]), Ok(state));
        }
    }

    #[test]
    fn what_happens_again_changes_nothing() {
        let cases: [(&[Event], State); 5] = [
            (&[Accept, Plan, Accept, Plan], Planned),
            (&[Accept, Plan, Queue, Lease(1), Queue, Accept], Leased(1)),
            (
                &[Accept, Plan, Queue, Lease(1), Token(1), Token(1), Lease(1)],
                Streaming(1),
            ),
            // A zombie goes on.
            (&[Accept, Plan, Queue, Lease(1), Lease(2), Token(1)], Leased(2)),
            (
                &[
                    Accept,
                    Plan,
                    Queue,
                    Lease(1),
                    COMPLETED,
                    COMPLETED,
                    Lease(2),
                    Accept,
                ],
                Ended(O::Completed),
            ),
        ];
        for (events, state) in cases {
            assert_eq!(lives(events), Ok(state), "{events:?}");
        }
    }

    #[test]
    fn another_pool_goes_on_where_the_one_before_gave_up() {
        let cases: [(&[Event], State); 6] = [
            (&[HandOver(0)], HandedOver(0)),
            (&[HandOver(0), Lease(1)], Leased(1)),
            (&[Lease(1), HandOver(1)], HandedOver(1)),
            (&[Lease(1), Token(1), HandOver(1), Lease(2)], Leased(2)),
            // Handed over once more by a successor that did not know, or read late.
            (&[Lease(1), HandOver(1), HandOver(1), Token(1)], HandedOver(1)),
            (&[Lease(1), HandOver(1), Lease(2), HandOver(1)], Leased(2)),
        ];
        for (events, state) in cases {
            let life = [&[Accept, Plan, Queue], events].concat();
            assert_eq!(lives(&life), Ok(state), "{events:?}");
        }
        let wrong: [(&[Event], Event); 4] = [
            (&[], HandOver(0)),
            (&[Accept, Plan, Queue], HandOver(1)),
            (&[Accept, Plan, Queue, Lease(1)], HandOver(2)),
            (&[Accept, Plan, Queue, Lease(1), HandOver(1)], Lease(3)),
        ];
        for (events, next) in wrong {
            let before = lives(events).expect("they are in order");
            assert_eq!(
                before.after(next),
                Err(Violation::Skipped(before, next)),
                "{events:?}"
            );
        }
    }

    #[test]
    fn the_first_end_wins() {
        let lost = end(S::Scheduler, O::Failed, Some(Leased(1)));
        let begun = [Accept, Plan, Queue, Lease(1)];
        assert_eq!(
            lives(&[&begun[..], &[lost, COMPLETED]].concat()),
            Ok(Ended(O::Failed))
        );
        assert_eq!(
            lives(&[&begun[..], &[COMPLETED, lost]].concat()),
            Ok(Ended(O::Completed))
        );
    }

    #[test]
    fn no_step_is_left_out() {
        let late = end(S::Planner, O::Expired, Some(Accepted));
        let cases: [(&[Event], Event); 8] = [
            (&[], Plan),
            (&[], late),
            (&[Accept], Queue),
            (&[Accept, Plan], Lease(1)),
            (&[Accept, Plan, Queue], Lease(2)),
            (&[Accept, Plan, Queue], COMPLETED),
            (&[Accept, Plan, Queue, Lease(1)], Token(2)),
            (&[Accept, Plan, Queue, Lease(1)], Lease(3)),
        ];
        for (events, next) in cases {
            let before = lives(events).expect("they are in order");
            assert_eq!(
                before.after(next),
                Err(Violation::Skipped(before, next)),
                "{events:?}"
            );
        }
    }

    #[test]
    fn only_who_has_it_in_hand_may_end_it() {
        let cases = [
            (New, S::Ingress, O::Refused, true),
            (Accepted, S::Ingress, O::Refused, false),
            (Accepted, S::Ingress, O::Expired, true),
            (New, S::Ingress, O::Expired, false),
            (Accepted, S::Ingress, O::Failed, false),
            (Accepted, S::Planner, O::Failed, true),
            (Accepted, S::Planner, O::Expired, true),
            (Planned, S::Planner, O::Expired, false),
            (Accepted, S::CacheService, O::Cached, false),
            (Planned, S::CacheService, O::Cached, true),
            (Planned, S::CacheService, O::Expired, true),
            (Planned, S::CacheService, O::Failed, false),
            (Queued, S::Scheduler, O::Rejected, true),
            (Queued, S::Scheduler, O::Cancelled, true),
            (Queued, S::Scheduler, O::Failed, false),
            (HandedOver(1), S::Scheduler, O::Rejected, true),
            (HandedOver(1), S::Scheduler, O::Expired, true),
            (HandedOver(1), S::Scheduler, O::Cancelled, true),
            (HandedOver(1), S::Scheduler, O::Failed, false),
            (HandedOver(1), S::Workers, O::Completed, false),
            (Leased(1), S::Scheduler, O::Rejected, false),
            (Leased(1), S::Scheduler, O::Failed, true),
            (Leased(1), S::Scheduler, O::Completed, false),
            (Queued, S::Workers, O::Completed, false),
            (Leased(1), S::Workers, O::Completed, true),
            (Streaming(2), S::Workers, O::Cancelled, true),
            (Leased(1), S::Workers, O::Cached, false),
            (Leased(1), S::Workers, O::Rejected, false),
            (Streaming(1), S::Runner, O::Failed, true),
            (New, S::Runner, O::Failed, true),
            (New, S::Runner, O::Expired, false),
            (Queued, S::TraceSink, O::Failed, false),
        ];
        for (state, service, status, may) in cases {
            assert_eq!(
                state.may_end(service, status),
                may,
                "{service:?} {status:?} from {state:?}"
            );
            let ended = end(service, status, Some(state));
            assert_eq!(ended.is_theirs(), may, "{ended:?}");
        }
        assert!(
            end(S::Scheduler, O::Failed, None).is_theirs(),
            "a lease whose request the log lost"
        );
        assert!(!end(S::TraceSink, O::Failed, None).is_theirs());
    }
}
