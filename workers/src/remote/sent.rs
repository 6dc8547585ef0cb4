//! A request's body that tells when it is on its way: a connection is there, and takes it.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use relay_clock::Clock;

use crate::meter::Sent;

/// See the module.
pub struct TellingBody {
    body: Option<Bytes>,
    sent: Sent,
    clock: Clock,
}

impl TellingBody {
    /// `body`, which tells `sent`.
    pub fn new(body: Bytes, sent: Sent, clock: Clock) -> Self {
        Self {
            body: Some(body),
            sent,
            clock,
        }
    }
}

impl Body for TellingBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let body = self.body.take();
        if body.is_some() {
            self.sent.get_or_init(|| self.clock.instant());
        }
        Poll::Ready(body.map(|body| Ok(Frame::data(body))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_none()
    }

    /// Known, so that the request says its length.
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.body.as_ref().map_or(0, Bytes::len) as u64)
    }
}
