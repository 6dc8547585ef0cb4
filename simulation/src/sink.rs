//! The trace sink: who won, by the store's own rule, and the answer to that question.

use std::collections::BTreeMap;

use relay_schemas::{Outcome, RequestId};
use relay_store::winner::{Winners, fold};
use relay_store::{Folded, Stored};

use crate::network::Message;
use crate::schedule::Actor;
use crate::world::{Sabotage, World};

/// The sink. Its tables survive it.
#[derive(Default)]
pub(crate) struct TraceSink {
    next: i64,
    places: Winners,
    /// The winner of each request.
    pub traces: BTreeMap<RequestId, Outcome>,
}

impl TraceSink {
    pub fn reread(&mut self, back: i64) {
        self.next = (self.next - back).max(0);
    }
}

impl World {
    /// Folds what there is to read as one batch.
    pub(crate) fn step_sink(&mut self) {
        let sink = &mut self.sink;
        let mut batch = Vec::new();
        while let Some(outcome) = self.log.outcomes.get(sink.next) {
            batch.push(Stored {
                outcome: outcome.clone(),
                partition: 0,
                offset: sink.next,
            });
            sink.next += 1;
        }
        let folded = fold(&mut sink.places, &batch);
        for (stored, folded) in batch.into_iter().zip(folded) {
            if folded == Folded::Won || self.sabotage == Sabotage::LastOutcomeWins {
                let id = stored.outcome.request_id.clone();
                sink.traces.insert(id, stored.outcome);
            }
        }
    }

    pub(crate) fn sink_hears(&mut self, message: Message) {
        if let Message::AskWinner(id, asker) = message {
            let winner = self.sink.traces.get(&id).cloned().map(Box::new);
            self.send(Actor::TraceSink, asker.ingress, Message::Winner(asker, winner));
        }
    }
}
