//! What reaches the ingress over the control seam.

use relay_schemas::{FenceAnswer, Frame, Outcome, RequestId};

use crate::network::{Asker, Message};
use crate::schedule::Actor;
use crate::world::{Sabotage, World};

impl World {
    pub(crate) fn ingress_hears(&mut self, number: u8, message: Message) {
        match message {
            Message::Frame(frame) => self.frame_arrives(number, &frame),
            Message::Replay(Asker { client, .. }, frames) => self.replay_arrives(number, client, frames),
            Message::Winner(Asker { client, .. }, mut winner) => {
                if self.sabotage == Sabotage::ForgetBodies
                    && let Some(outcome) = &mut winner
                {
                    outcome.request = None;
                }
                if !self.admit(number, client, winner.as_deref())
                    && let Some(outcome) = winner
                {
                    self.winner_is(number, client, &outcome);
                }
            }
            Message::Lost => {
                for waiting in self.ingresses[usize::from(number)].waiting.values_mut() {
                    waiting.follower.on_lost(self.now);
                }
            }
            Message::AskFence(id, attempt, scheduler) => {
                let answer = self.fence(number, &id, attempt);
                let answer = Message::Fenced(id, attempt, answer);
                self.send(Actor::Ingress(number), scheduler, answer);
            }
            _ => {}
        }
        self.plan_ingress(number);
    }

    fn winner_is(&mut self, number: u8, client: usize, outcome: &Outcome) {
        if let Some(waiting) = self.ingresses[usize::from(number)].waiting.get_mut(&client) {
            let steps = waiting.follower.on_winner(outcome, self.now);
            self.follow(number, client, steps);
        }
    }

    fn fence(&mut self, number: u8, id: &RequestId, attempt: u32) -> FenceAnswer {
        let mut answer = FenceAnswer {
            known: false,
            saw_token: false,
        };
        for (_, waiting) in self.ingresses[usize::from(number)].waiting_for(id) {
            answer.known = true;
            answer.saw_token |= waiting.follower.fence(attempt);
        }
        answer
    }

    fn frame_arrives(&mut self, number: u8, frame: &Frame) {
        let ingress = &mut self.ingresses[usize::from(number)];
        let clients: Vec<usize> = ingress
            .waiting_for(&frame.request_id)
            .map(|(client, _)| client)
            .collect();
        for client in clients {
            self.reads_frame(number, client, frame.clone());
        }
    }

    fn replay_arrives(&mut self, number: u8, client: usize, frames: Vec<Frame>) {
        for frame in frames {
            self.reads_frame(number, client, frame);
        }
    }

    fn reads_frame(&mut self, number: u8, client: usize, frame: Frame) {
        if self.sabotage == Sabotage::BelieveFinals
            && let Some(outcome) = self.outcome_of(&frame)
        {
            self.winner_is(number, client, &outcome);
        }
        if let Some(waiting) = self.ingresses[usize::from(number)].waiting.get_mut(&client) {
            let steps = waiting.follower.on_frame(frame, self.now);
            self.follow(number, client, steps);
        }
    }

    /// What the run of a last frame has recorded, be it the first or not.
    fn outcome_of(&self, frame: &Frame) -> Option<Outcome> {
        frame.end.as_ref()?;
        let mut outcomes = self.log.outcomes.iter().map(|(_, outcome)| outcome);
        let own = |outcome: &&Outcome| outcome.request_id == frame.request_id && outcome.run == frame.run;
        outcomes.find(own).cloned()
    }
}
