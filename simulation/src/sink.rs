//! The trace sink: who won, and the answer to that question.

use std::collections::BTreeMap;

use relay_schemas::{Outcome, RequestId};

use crate::network::Message;
use crate::schedule::Actor;
use crate::world::{Sabotage, World};

/// The sink. Its table survives it.
#[derive(Default)]
pub(crate) struct TraceSink {
    next: i64,
    /// The winner of each request, with its offset.
    pub winners: BTreeMap<RequestId, (i64, Outcome)>,
}

impl TraceSink {
    pub fn reread(&mut self, back: i64) {
        self.next = (self.next - back).max(0);
    }
}

impl World {
    pub(crate) fn step_sink(&mut self) {
        while let Some(outcome) = self.log.outcomes.get(self.sink.next) {
            let place = self.sink.next;
            self.sink.next += 1;
            let known = self.sink.winners.get(&outcome.request_id);
            let wins = match self.sabotage {
                Sabotage::LastOutcomeWins => true,
                _ => known.is_none_or(|(at, _)| place < *at),
            };
            if wins {
                self.sink
                    .winners
                    .insert(outcome.request_id.clone(), (place, outcome.clone()));
            }
        }
    }

    pub(crate) fn sink_hears(&mut self, message: Message) {
        if let Message::AskWinner(id, ingress) = message {
            let winner = self
                .sink
                .winners
                .get(&id)
                .map(|(_, outcome)| Box::new(outcome.clone()));
            self.send(Actor::TraceSink, ingress, Message::Winner(id, winner));
        }
    }
}
