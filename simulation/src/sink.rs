//! The trace sink: who won, by the store's own rule, and the answer to that question.

use std::sync::Arc;

use std::collections::BTreeMap;

use relay_schemas::{Outcome, RequestId};
use relay_store::outcomes::{WinnerPositions, fold};
use relay_store::{LoggedOutcome, Verdict};

use crate::network::Message;
use crate::schedule::Actor;
use crate::world::{Sabotage, World};

/// The sink. Its tables survive it.
#[derive(Default)]
pub(crate) struct TraceSink {
    next: i64,
    winners: WinnerPositions,
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
        if !self.log_moves() {
            return;
        }
        let sink = &mut self.sink;
        let mut batch = Vec::new();
        while let Some(outcome) = self.log.outcomes.get(sink.next) {
            batch.push(LoggedOutcome {
                outcome: outcome.clone().into(),
                partition: 0,
                offset: sink.next,
                traceparent: None,
            });
            sink.next += 1;
        }
        let verdicts = fold(&mut sink.winners, &batch);
        for (logged, verdict) in batch.into_iter().zip(verdicts) {
            if verdict == Verdict::Won || self.sabotage == Sabotage::LastOutcomeWins {
                let id = logged.outcome.request_id.clone();
                sink.traces.insert(id, Arc::unwrap_or_clone(logged.outcome));
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
