//! An answer on its way as server-sent events: one write for whatever is ready.

use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use relay_lifecycle::is_success;

use super::exchange::Exchange;
use super::state::KeepAlive;
use crate::admission::accept::Accepted;
use crate::answers::end::End;
use crate::answers::failure;
use crate::answers::form::Chunks;
use crate::answers::waiter::{AnswerEvent, Waiter};

/// What keeps proxies from giving up on a silent stream.
const KEEP_ALIVE: &str = ": keep-alive\n\n";

/// What leaves in one piece, about; what is ready beyond leaves in the next.
const MOST_BYTES: usize = 64 * 1_024;

/// A stream whose headers have left. Dropped by the server as soon as its client is gone.
pub struct Live {
    /// As the metrics see it.
    pub exchange: Exchange,
    /// What it waits for.
    pub waiter: Waiter,
    /// Whether the log has the request.
    pub accepted: Accepted,
    /// Whether it has an idempotency key.
    pub keyed: bool,
    /// Silence after which a comment leaves.
    pub keep_alive: KeepAlive,
    /// Writes its chunks.
    pub chunks: Chunks,
}

/// Where the stream is.
enum Next {
    Write(Live, AnswerEvent),
    Wait(Live),
    /// The last piece was taken over by the server.
    Done(#[expect(dead_code, reason = "dropped after its last piece has left")] Live),
}

impl Live {
    /// The body, beginning with what came first.
    pub fn into_body(mut self, first: AnswerEvent) -> Body {
        self.exchange.first_byte();
        let pieces = futures::stream::unfold(Next::Write(self, first), |next| async move {
            let (mut live, event) = match next {
                Next::Write(live, event) => (live, event),
                Next::Wait(mut live) => {
                    let event = live.waiter.next(live.keep_alive.0).await;
                    (live, event)
                }
                Next::Done(_) => return None,
            };
            let (mut piece, mut last) = live.write(event);
            // Some events are told with the end only: an empty piece would be none.
            while piece.is_empty() && !last {
                let event = live.waiter.next(live.keep_alive.0).await;
                (piece, last) = live.write(event);
            }
            let next = if last { Next::Done(live) } else { Next::Wait(live) };
            Some((Ok::<_, Infallible>(Bytes::from(piece)), next))
        });
        Body::from_stream(pieces)
    }

    /// The bytes for what came and for all that is ready behind it, and whether they are the last.
    fn write(&mut self, event: AnswerEvent) -> (String, bool) {
        let mut piece = String::new();
        let mut next = Some(event);
        while let Some(event) = next {
            if self.append(&mut piece, event) {
                return (piece, true);
            }
            next = if piece.len() < MOST_BYTES {
                self.waiter.try_next()
            } else {
                None
            };
        }
        (piece, false)
    }

    /// Appends what `event` says; whether it is the last.
    fn append(&mut self, piece: &mut String, event: AnswerEvent) -> bool {
        match event {
            AnswerEvent::Deltas(deltas) => self.chunks.deltas(piece, &deltas),
            AnswerEvent::Idle => piece.push_str(KEEP_ALIVE),
            AnswerEvent::Ended(end) => {
                self.exchange.finish(&end, self.waiter.account());
                match &end {
                    End::Finished { end, .. } if is_success(end.status) => self.chunks.end(piece, end),
                    failed => piece.push_str(&failure::of(failed, self.keyed).event()),
                }
                return true;
            }
            AnswerEvent::TimedOut => {
                let refusal = failure::timed_out(self.accepted, self.keyed);
                self.exchange.fails(&refusal);
                piece.push_str(&refusal.event());
                return true;
            }
            AnswerEvent::Cut => {
                let refusal = failure::cut(self.keyed);
                self.exchange.is_charged(self.waiter.account());
                self.exchange.fails(&refusal);
                piece.push_str(&refusal.event());
                return true;
            }
        }
        false
    }
}
