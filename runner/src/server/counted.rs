//! Tells a connection's activity of its requests and responses as they pass.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::http::{Request, Response};
use bytes::{Buf, Bytes};
use futures::task::AtomicWaker;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::Service;
use parking_lot::Mutex;
use relay_clock::Clock;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tower::ServiceExt;

use super::activity::{Activity, ResponseId};

/// Most bytes of a response that are handed over at once: what a peer does not take is not held beyond it.
const PIECE: usize = 16 * 1024;

/// A connection's activity, and what is needed to end it, or one response of it.
pub(super) struct Watched {
    pub clock: Clock,
    pub activity: Mutex<Activity>,
    /// It is to make room.
    pub leave: Notify,
    streams: Mutex<Streams>,
}

/// The responses of an HTTP/2 connection, which run by themselves.
#[derive(Default)]
struct Streams {
    /// The response whose task comes next.
    begun: Option<ResponseId>,
    tasks: HashMap<ResponseId, AbortHandle>,
}

impl Watched {
    pub(super) fn new(clock: Clock) -> Self {
        let activity = Mutex::new(Activity::new(clock.instant()));
        Self {
            clock,
            activity,
            leave: Notify::new(),
            streams: Mutex::default(),
        }
    }

    /// Gives one response up; the peer is told so. False where it is the connection's only one (HTTP/1), which must end then.
    pub(super) fn give_up(&self, response: ResponseId) -> bool {
        let task = self.streams.lock().tasks.remove(&response);
        if let Some(task) = &task {
            task.abort();
            // What HTTP/2 already has of it stays until the connection ends, and is at most one piece.
            self.activity.lock().end(response, self.clock.instant());
        }
        task.is_some()
    }
}

/// Runs the responses of an HTTP/2 connection: each can be given up by itself, which leaves the others to a client that reads them.
#[derive(Clone)]
pub(super) struct Streaming(pub Arc<Watched>);

impl<F> Executor<F> for Streaming
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, response: F) {
        // Locked until the task is known: one that is over at once would be forgotten first, and then kept.
        let mut streams = self.0.streams.lock();
        let task = tokio::spawn(response).abort_handle();
        // hyper calls the service and hands its response over in one go.
        if let Some(id) = streams.begun.take() {
            streams.tasks.insert(id, task);
        }
    }
}

/// A router whose requests are counted.
pub(super) struct Counted {
    pub router: Router,
    pub watched: Arc<Watched>,
}

impl Service<Request<Incoming>> for Counted {
    type Response = Response<CountedBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let place = Place::new(Arc::clone(&self.watched));
        let response = self.router.clone().oneshot(request);
        Box::pin(async move {
            let response = response.await?;
            place.answer();
            Ok(response.map(|inner| CountedBody {
                inner,
                rest: Bytes::new(),
                over: false,
                place: Arc::new(place),
            }))
        })
    }
}

/// A response's place among those of its connection: held by its body and by every byte of it that is not yet written.
struct Place {
    watched: Arc<Watched>,
    id: ResponseId,
    /// Whoever waits for the bytes to be taken.
    taken: AtomicWaker,
}

impl Place {
    fn new(watched: Arc<Watched>) -> Self {
        let id = watched.activity.lock().begin();
        watched.streams.lock().begun = Some(id);
        Self {
            watched,
            id,
            taken: AtomicWaker::new(),
        }
    }

    fn answer(&self) {
        let now = self.watched.clock.instant();
        self.watched.activity.lock().answer(self.id, now);
    }

    fn wait(&self) {
        self.watched.activity.lock().wait(self.id);
    }

    fn offer(&self, bytes: usize) {
        let now = self.watched.clock.instant();
        self.watched.activity.lock().offer(self.id, bytes, now);
    }

    fn take(&self, bytes: usize) {
        let now = self.watched.clock.instant();
        self.watched.activity.lock().take(self.id, bytes, now);
        self.taken.wake();
    }

    fn is_unread(&self) -> bool {
        self.watched.activity.lock().is_unread(self.id)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.watched.streams.lock().tasks.remove(&self.id);
        let now = self.watched.clock.instant();
        self.watched.activity.lock().end(self.id, now);
    }
}

/// A body in pieces that say when they are taken. It ends only after its last one is: until then it can be given up.
pub(super) struct CountedBody {
    inner: Body,
    /// What is left of the frame at hand.
    rest: Bytes,
    /// There are no more frames.
    over: bool,
    place: Arc<Place>,
}

impl CountedBody {
    fn piece(&mut self) -> Frame<Piece> {
        let bytes = self.rest.split_to(self.rest.len().min(PIECE));
        self.place.offer(bytes.len());
        Frame::data(Piece {
            bytes,
            place: Arc::clone(&self.place),
        })
    }

    fn poll_end(&self, context: &Context<'_>) -> Poll<Option<Result<Frame<Piece>, axum::Error>>> {
        self.place.taken.register(context.waker());
        if self.place.is_unread() {
            return Poll::Pending;
        }
        Poll::Ready(None)
    }
}

impl HttpBody for CountedBody {
    type Data = Piece;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, axum::Error>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.piece())));
        }
        if self.over {
            return self.poll_end(context);
        }
        let frame = match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Pending => {
                self.place.wait();
                return Poll::Pending;
            }
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
            Poll::Ready(None) => {
                self.over = true;
                return self.poll_end(context);
            }
        };
        Poll::Ready(Some(Ok(match frame.into_data() {
            Ok(data) => {
                self.rest = data;
                self.piece()
            }
            Err(trailers) => trailers.map_data(|_| unreachable!("data was taken out above")),
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && (self.over || self.inner.is_end_stream()) && !self.place.is_unread()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, inner) = (self.rest.len() as u64, self.inner.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

/// Bytes of a response on their way to the peer.
pub(super) struct Piece {
    bytes: Bytes,
    place: Arc<Place>,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, bytes: usize) {
        self.bytes.advance(bytes);
        self.place.take(bytes);
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if self.bytes.has_remaining() {
            self.place.take(self.bytes.remaining());
        }
    }
}
