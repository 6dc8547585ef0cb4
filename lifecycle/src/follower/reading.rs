//! What was read of one run: its frames in their order, early ones held until the gap before them closes.

use std::collections::BTreeMap;

use relay_schemas::{Delta, Frame, Run};

use crate::transcript::{Transcript, join};

/// What a frame brought.
#[derive(Debug, PartialEq)]
pub(super) enum Brought {
    /// Nothing that was not read before.
    Nothing,
    /// It is early: an earlier one is missing.
    Early,
    /// The next pieces, its own and those of held frames behind it, without the ends of choices.
    Next(Vec<Delta>),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Reading {
    run: Option<Run>,
    next_seq: u32,
    ahead: BTreeMap<u32, Frame>,
    content: Transcript,
    /// Why choices ended; not part of `content`.
    ends: Vec<Delta>,
    whole: bool,
}

impl Reading {
    /// Before the first frame of `run`.
    pub(super) fn of(run: Run) -> Self {
        Self {
            run: Some(run),
            ..Self::default()
        }
    }

    /// The run that is read, if one is.
    pub(super) fn run(&self) -> Option<&Run> {
        self.run.as_ref()
    }

    /// Whether `run` is the one that is read.
    pub(super) fn is_of(&self, run: &Run) -> bool {
        self.run() == Some(run)
    }

    /// The frame that is wanted next.
    pub(super) fn next_seq(&self) -> u32 {
        self.next_seq
    }

    /// Whether all frames were read.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// Whether a frame is missing before one that is held.
    pub(super) fn has_gap(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// What was read, but for the ends of its choices.
    pub(super) fn content(&self) -> &Transcript {
        &self.content
    }

    /// Takes a frame of the run; holds at most `room` early ones, later ones are dropped.
    pub(super) fn take(&mut self, frame: Frame, room: usize) -> Brought {
        if frame.seq < self.next_seq || self.whole {
            return Brought::Nothing;
        }
        if frame.seq > self.next_seq {
            if self.ahead.len() < room {
                self.ahead.insert(frame.seq, frame);
            }
            return Brought::Early;
        }
        Brought::Next(self.read_on(frame))
    }

    /// Reads `frame`, which is the next one, and all held ones that follow it without a gap.
    fn read_on(&mut self, frame: Frame) -> Vec<Delta> {
        let mut deltas = Vec::new();
        let mut next = Some(frame);
        while let Some(frame) = next {
            self.next_seq = frame.seq.saturating_add(1);
            self.whole |= frame.end.is_some();
            for piece in &frame.embeddings {
                self.content.apply_embedding(piece);
            }
            // The pieces of one frame stay apart, as the model made them; those of frames that a gap held up leave together.
            if deltas.is_empty() {
                deltas = frame.deltas;
            } else {
                join(&mut deltas, frame.deltas);
            }
            next = self.ahead.remove(&self.next_seq);
        }
        // What was held before the gap closed may be a duplicate of what a replay just brought.
        self.ahead = self.ahead.split_off(&self.next_seq);
        self.add(deltas)
    }

    /// Takes in the next pieces; gives back what of them may be shown before the end is known.
    fn add(&mut self, mut deltas: Vec<Delta>) -> Vec<Delta> {
        for delta in &mut deltas {
            if let Some(reason) = delta.finish_reason.take() {
                self.ends.push(Delta::finish(delta.index, reason));
            }
            self.content.apply_delta(delta);
        }
        deltas.retain(|delta| !delta.is_empty());
        deltas
    }

    /// The record tells why choices ended; what the frames said of it is dropped.
    pub(super) fn forget_ends(&mut self) {
        self.ends.clear();
    }

    /// The whole content, and the ends by themselves; nothing is kept.
    pub(super) fn finish(&mut self) -> (Transcript, Vec<Delta>) {
        let ends = std::mem::take(&mut self.ends);
        let mut content = std::mem::take(&mut self.content);
        for delta in &ends {
            content.apply_delta(delta);
        }
        (content, ends)
    }
}
