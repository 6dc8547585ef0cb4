//! The control seam as it is: messages may be lost, repeated and reordered, but who lost one is told before the next arrives.

use std::rc::Rc;

use rand::Rng;
use relay_schemas::{
    Cancel, FenceAnswer, Frame, Outcome, RequestId, Revoked, Run, TimestampMs, WorkerStatus,
};

use crate::happening::Happening;
use crate::schedule::Actor;
use crate::world::World;

/// What travels on the control seam.
#[derive(Debug, Clone)]
pub(crate) enum Message {
    Frame(Box<Frame>),
    Status(Rc<WorkerStatus>),
    Cancel(Box<Cancel>),
    /// Messages may have been lost here.
    Lost,
    AskWinner(RequestId, Asker),
    Winner(Asker, Option<Box<Outcome>>),
    AskReplay(RequestId, Box<Run>, u32, Asker),
    Replay(Asker, Vec<Frame>),
    AskFence(RequestId, u32, Actor),
    Fenced(RequestId, u32, FenceAnswer),
    /// To that life of a worker.
    Revoked(i64, Box<Revoked>),
}

/// For which client of which ingress a question is asked; the answer is for nobody else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker {
    pub ingress: Actor,
    pub client: usize,
}

/// How the seam is at the moment.
#[derive(Default)]
pub(crate) struct Network {
    /// Until when it is rough.
    pub rough_until: TimestampMs,
    cut_until: [TimestampMs; Actor::ALL.len()],
    lost: [bool; Actor::ALL.len()],
}

impl Network {
    /// Cuts `actor` off.
    pub fn cut(&mut self, actor: Actor, until: TimestampMs) {
        let end = &mut self.cut_until[actor.index()];
        *end = (*end).max(until);
        // A connection that was away makes itself known when it is back.
        self.lost[actor.index()] = true;
    }

    /// Since when `actor` can be reached again; in the future while it cannot.
    pub fn back_at(&self, actor: Actor) -> TimestampMs {
        self.cut_until[actor.index()]
    }

    /// Whether `actor` can be reached, and reach others.
    pub fn reaches(&self, actor: Actor, now: TimestampMs) -> bool {
        self.cut_until[actor.index()] <= now
    }
}

impl World {
    /// Sends a message; what becomes of it is chance.
    pub(crate) fn send(&mut self, from: Actor, to: Actor, message: Message) {
        if !self.network.reaches(from, self.now) {
            return;
        }
        let rough = self.now < self.network.rough_until;
        if !self.network.reaches(to, self.now) || rough && self.random.random_bool(0.15) {
            self.network.lost[to.index()] = true;
            return;
        }
        if std::mem::take(&mut self.network.lost[to.index()]) {
            self.push(self.now, Happening::Arrive(to, Message::Lost));
        }
        if rough && self.random.random_bool(0.1) {
            let delay = self.random.random_range(0..300);
            self.push(self.now.plus_ms(delay), Happening::Arrive(to, message.clone()));
        }
        let delay = self.random.random_range(0..=if rough { 200 } else { 1 });
        self.push(self.now.plus_ms(delay), Happening::Arrive(to, message));
    }
}
