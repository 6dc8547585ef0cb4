//! Frames kept for ingresses that missed them: bounded in runs, in bytes a run, and in time. Pure.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use relay_lifecycle::transcript::{embedding_weight, weight};
use relay_schemas::{Frame, RequestId, TimestampMs};

/// Bytes that a frame takes on the wire beside its content; generously.
const FRAME_OVERHEAD: usize = 512;

/// Limits of a [`ReplayBuffer`].
#[derive(Debug, Clone, Copy)]
pub struct ReplayLimits {
    /// Most runs.
    pub runs: usize,
    /// Most bytes of one run, overhead included; the oldest frames go first.
    pub bytes: usize,
    /// How long a run is kept after its last frame, milliseconds.
    pub keep_ms: i64,
}

#[derive(Debug, Default)]
struct Kept {
    frames: VecDeque<Arc<Frame>>,
    bytes: usize,
    ended_at: Option<TimestampMs>,
}

/// The frames of the last runs.
#[derive(Debug)]
pub struct ReplayBuffer {
    limits: ReplayLimits,
    runs: HashMap<(RequestId, u32), Kept>,
    order: VecDeque<(RequestId, u32)>,
}

impl ReplayBuffer {
    /// An empty buffer.
    pub fn new(limits: ReplayLimits) -> Self {
        Self {
            limits,
            runs: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Keeps a frame that was sent.
    pub fn push(&mut self, frame: Arc<Frame>, now: TimestampMs) {
        let key = (frame.request_id.clone(), frame.run.attempt);
        if !self.runs.contains_key(&key) {
            self.make_room(now);
            self.order.push_back(key.clone());
        }
        let kept = self.runs.entry(key).or_default();
        if frame.end.is_some() {
            kept.ended_at = Some(now);
        }
        kept.bytes += cost(&frame);
        kept.frames.push_back(frame);
        // The newest frame stays, however large: it is the one that is asked for most.
        while kept.bytes > self.limits.bytes && kept.frames.len() > 1 {
            kept.bytes -= kept.frames.pop_front().as_deref().map_or(0, cost);
        }
    }

    /// The frames of that attempt from `from_seq` on, as many as fit into `most_bytes` (at least one);
    /// none where the first of them is no longer held.
    pub fn from(&self, request: &RequestId, attempt: u32, from_seq: u32, most_bytes: usize) -> Vec<Frame> {
        let Some(kept) = self.runs.get(&(request.clone(), attempt)) else {
            return Vec::new();
        };
        if kept.frames.front().is_none_or(|first| first.seq > from_seq) {
            return Vec::new();
        }
        let mut bytes = 0;
        let fits = |frame: &&Arc<Frame>| {
            let first = bytes == 0;
            bytes += cost(frame);
            first || bytes <= most_bytes
        };
        let wanted = kept.frames.iter().filter(|frame| frame.seq >= from_seq);
        let wanted = wanted.take_while(fits);
        wanted.map(|frame| Frame::clone(frame)).collect()
    }

    fn make_room(&mut self, now: TimestampMs) {
        while let Some(oldest) = self.order.front() {
            let ended = self.runs.get(oldest).and_then(|kept| kept.ended_at);
            let over = ended.is_some_and(|at| now.since_ms(at) >= self.limits.keep_ms);
            if !over && self.runs.len() < self.limits.runs {
                return;
            }
            self.runs.remove(oldest);
            self.order.pop_front();
        }
    }
}

fn cost(frame: &Frame) -> usize {
    let deltas: usize = frame.deltas.iter().map(weight).sum();
    let vectors: usize = frame.embeddings.iter().map(embedding_weight).sum();
    deltas + vectors + FRAME_OVERHEAD
}

#[cfg(test)]
mod tests {
    use relay_schemas::samples;

    use super::*;

    const LIMITS: ReplayLimits = ReplayLimits {
        runs: 2,
        bytes: 3 * (FRAME_OVERHEAD + 65),
        keep_ms: 100,
    };

    fn frame(request: &str, seq: u32, end: bool) -> Arc<Frame> {
        Arc::new(Frame {
            request_id: request.into(),
            end: end.then(samples::last),
            ..samples::frame(seq, "x")
        })
    }

    fn seqs(buffer: &ReplayBuffer, request: &str, from: u32, most: usize) -> Vec<u32> {
        buffer
            .from(&request.into(), 1, from, most)
            .iter()
            .map(|frame| frame.seq)
            .collect()
    }

    #[test]
    fn frames_are_given_from_the_one_asked_for_on_and_only_without_a_gap() {
        let mut buffer = ReplayBuffer::new(LIMITS);
        for seq in 0..5 {
            buffer.push(frame("a", seq, seq == 4), TimestampMs(0));
        }
        assert_eq!(seqs(&buffer, "a", 3, usize::MAX), [3, 4]);
        assert_eq!(seqs(&buffer, "a", 2, usize::MAX), [2, 3, 4]);
        assert_eq!(
            seqs(&buffer, "a", 1, usize::MAX),
            [0; 0],
            "frame 1 went for want of room"
        );
        assert_eq!(
            seqs(&buffer, "a", 2, 1),
            [2],
            "one frame at least, so that asking again gets on"
        );
        assert_eq!(seqs(&buffer, "b", 0, usize::MAX), [0; 0]);
    }

    #[test]
    fn runs_leave_by_age_once_ended_and_the_oldest_first_for_want_of_room() {
        let mut buffer = ReplayBuffer::new(LIMITS);
        buffer.push(frame("a", 0, true), TimestampMs(0));
        buffer.push(frame("b", 0, false), TimestampMs(100));
        assert_eq!(seqs(&buffer, "a", 0, usize::MAX), [0; 0], "its time was over");
        buffer.push(frame("c", 0, false), TimestampMs(101));
        buffer.push(frame("d", 0, false), TimestampMs(102));
        assert_eq!(seqs(&buffer, "b", 0, usize::MAX), [0; 0], "no room for three");
        assert_eq!(seqs(&buffer, "d", 0, usize::MAX), [0]);
    }
}
