//! An answer on its way as server-sent events: one write for whatever is ready.

use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use relay_lifecycle::is_success;

use super::exchange::Exchange;
use crate::accept::Accepted;
use crate::answer::{self, Chunks};
use crate::refusal;
use crate::slot::End;
use crate::waiter::{Happened, Waiter};

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
    /// Writes its chunks.
    pub chunks: Chunks,
}

/// Where the stream is.
enum Next {
    Write(Live, Happened),
    Wait(Live),
    /// The last piece was taken over by the server.
    Done(#[expect(dead_code, reason = "dropped after its last piece has left")] Live),
}

impl Live {
    /// The body, beginning with what happened first.
    pub fn into_body(self, first: Happened) -> Body {
        self.exchange.first_byte();
        let pieces = futures::stream::unfold(Next::Write(self, first), |next| async move {
            let (mut live, happened) = match next {
                Next::Write(live, happened) => (live, happened),
                Next::Wait(mut live) => {
                    let happened = live.waiter.next(live.exchange.keep_alive()).await;
                    (live, happened)
                }
                Next::Done(_) => return None,
            };
            let (piece, last) = live.write(happened);
            let next = if last { Next::Done(live) } else { Next::Wait(live) };
            Some((Ok::<_, Infallible>(Bytes::from(piece)), next))
        });
        Body::from_stream(pieces)
    }

    /// The bytes for what happened, and whether they are the last.
    fn write(&mut self, happened: Happened) -> (String, bool) {
        match happened {
            Happened::Text(text) => (self.chunks.text(&text), false),
            Happened::Idle => (answer::KEEP_ALIVE.to_owned(), false),
            Happened::Ended(end) => {
                self.exchange.finish(&end);
                let piece = match &end {
                    End::Finished { end, .. } if is_success(end.status) => self.chunks.end(end),
                    failed => answer::error_event(&refusal::of(failed, self.keyed)),
                };
                (piece, true)
            }
            Happened::TimedOut => {
                let refusal = refusal::timed_out(self.accepted, self.keyed);
                (answer::error_event(&refusal), true)
            }
        }
    }
}
