//! The frames of one run on their way to the ingress that waits for them.

use std::sync::Arc;

use relay_clock::Clock;
use relay_control::{Control, room, split};
use relay_schemas::{Delta, Frame, Payload, RequestId, Run, TokenCount};

use crate::replay::ReplayBuffer;

/// Frames kept for ingresses that missed them, shared by all runs.
pub type Replays = Arc<parking_lot::Mutex<ReplayBuffer>>;

/// The frames of one run on their way to an ingress.
pub struct Stream {
    /// The seam.
    pub control: Arc<dyn Control>,
    /// Where they go.
    pub reply_to: String,
    /// Kept for asking again.
    pub replays: Replays,
    /// Whose.
    pub request_id: RequestId,
    /// Which run.
    pub run: Run,
    clock: Clock,
    /// Bytes that one frame can carry.
    room: usize,
    seq: u32,
    troubled: bool,
}

impl Stream {
    /// A stream at its beginning.
    pub fn new(
        control: Arc<dyn Control>,
        reply_to: String,
        replays: Replays,
        request_id: RequestId,
        run: Run,
        clock: Clock,
    ) -> Self {
        let bare = frame(&request_id, &run, 0, Vec::new(), 0);
        Self {
            room: room(&bare, control.max_payload()),
            control,
            reply_to,
            replays,
            request_id,
            run,
            clock,
            seq: 0,
            troubled: false,
        }
    }

    /// The number of the next frame.
    pub fn next_seq(&self) -> u32 {
        self.seq
    }

    /// Sends the next pieces of the answer, but for the ends of its choices: they leave with the end of the run, once that
    /// is recorded.
    pub async fn pieces(&mut self, mut deltas: Vec<Delta>, tokens: u32) {
        for delta in &mut deltas {
            delta.finish_reason = None;
        }
        deltas.retain(|delta| !delta.is_empty());
        if deltas.is_empty() {
            return;
        }
        let frame = frame(&self.request_id, &self.run, self.seq, deltas, tokens);
        let frames = split(frame, self.control.max_payload());
        self.send(frames).await;
    }

    /// Bytes that one frame can carry.
    pub fn room(&self) -> usize {
        self.room
    }

    /// Sends frames and keeps them. What cannot be sent is kept all the same: ingress notices the gap and asks.
    pub async fn send(&mut self, frames: Vec<Frame>) {
        for frame in frames {
            self.seq = frame.seq + 1;
            let frame = Arc::new(frame);
            let payload = Payload::of(Arc::clone(&frame));
            self.replays.lock().push(frame, self.clock.steady());
            if let Err(error) = self.control.send(&self.reply_to, payload).await
                && !std::mem::replace(&mut self.troubled, true)
            {
                tracing::warn!(request.id = %self.request_id, %error, "frames cannot be sent; ingress will ask for them");
            }
        }
    }
}

fn frame(request_id: &RequestId, run: &Run, seq: u32, deltas: Vec<Delta>, tokens: u32) -> Frame {
    Frame {
        request_id: request_id.clone(),
        run: run.clone(),
        seq,
        deltas,
        embeddings: Vec::new(),
        tokens: TokenCount(tokens),
        end: None,
    }
}
