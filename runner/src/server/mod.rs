//! Accepts connections: `TCP_NODELAY`, a bound on how many, time limits for what they may be doing, and a drain that lets streams
//! finish. Where all places are taken, those that have been idle for longest make room: silent ones keep nobody out.
//!
//! `activity` decides, `counted` tells it what passes.

mod activity;
mod counted;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use parking_lot::Mutex;
use relay_clock::Clock;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

pub use activity::ConnectionBounds;

use crate::shutdown::Shutdown;
use activity::{Overdue, later};
use counted::{Counted, Streaming, Watched};

/// How long a connection that was told to end may take to say good-bye, and how long one that is to make room.
const LINGER: Duration = Duration::from_millis(500);
const MAKE_ROOM: Duration = Duration::from_millis(25);

/// Between two looks for connections that can make room.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// Least time between two looks at a connection.
const SHORTEST: Duration = Duration::from_millis(1);

/// The part of all places that is made free at once: a flood of new connections does not wait for one good-bye after another.
const ROOM: usize = 16;

/// Most bytes that wait in the operating system to be sent. What is beyond says nothing of what the peer takes: by itself the system
/// takes megabytes, and asks for more only once a third of them is gone, which a slow reader may need minutes for.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 128 * 1024;

/// Serves until a drain, and then until every response has ended. A stop leaves those that are told of it a moment to be written.
pub async fn serve_http(
    router: Router,
    listener: TcpListener,
    bounds: ConnectionBounds,
    clock: Clock,
    shutdown: Shutdown,
) {
    let most = bounds.most_connections.clamp(1, Semaphore::MAX_PERMITS);
    let mut connections = Connections {
        router,
        bounds,
        clock,
        shutdown: shutdown.clone(),
        places: Arc::new(Semaphore::new(most)),
        open: Arc::default(),
        number: 0,
        tasks: tokio::task::JoinSet::new(),
    };
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.draining() => break,
            accepted = connections.accept(&listener) => accepted,
        };
        // Ended connections are forgotten as new ones come.
        while connections.tasks.try_join_next().is_some() {}
        if let Some((stream, place)) = accepted {
            connections.start(stream, place);
        }
    }
    drop(listener);
    tokio::select! {
        biased;
        () = async { while connections.tasks.join_next().await.is_some() {} } => {}
        () = async { shutdown.stopped().await; sleep(LINGER).await } => connections.cut(),
    }
    connections.tasks.shutdown().await;
}

/// The connections that are open, by when they were made.
type Open = Arc<Mutex<BTreeMap<u64, Arc<Watched>>>>;

struct Connections {
    router: Router,
    bounds: ConnectionBounds,
    clock: Clock,
    shutdown: Shutdown,
    places: Arc<Semaphore>,
    open: Open,
    number: u64,
    tasks: tokio::task::JoinSet<()>,
}

impl Connections {
    async fn accept(&self, listener: &TcpListener) -> Option<(TcpStream, OwnedSemaphorePermit)> {
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Err(error) = prepare(&stream) {
                    tracing::debug!(%error, "a connection's options cannot be set");
                }
                Some((stream, self.place().await?))
            }
            Err(error) => {
                // Typically too many open files: what is open must end first.
                tracing::warn!(%error, "a connection cannot be accepted");
                self.make_room();
                sleep(LOOK_AGAIN).await;
                None
            }
        }
    }

    /// A place among the connections; others make room if need be.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(place);
        }
        loop {
            self.make_room();
            tokio::select! {
                biased;
                place = Arc::clone(&self.places).acquire_owned() => return place.ok(),
                () = sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// Tells those to end that have been idle for longest.
    fn make_room(&self) {
        let (open, now) = (self.open.lock(), self.clock.instant());
        let spare = |watched| Some((Watched::spare_since(watched, now)?, watched));
        let mut spare: Vec<(Instant, &Watched)> = open.values().map(Arc::as_ref).filter_map(spare).collect();
        spare.sort_unstable_by_key(|(since, _)| *since);
        let enough = (self.bounds.most_connections / ROOM).max(1);
        for (_, watched) in spare.into_iter().take(enough) {
            watched.activity.lock().leave();
            watched.leave.notify_one();
        }
    }

    /// What is still being answered is cut.
    fn cut(&self) {
        let answered = |watched: &&Arc<Watched>| !watched.activity.lock().is_idle();
        let count = self.open.lock().values().filter(answered).count();
        if count > 0 {
            tracing::warn!(
                connections = count,
                "connections were cut that were being answered"
            );
            self.shutdown.cut(count);
        }
    }

    fn start(&mut self, stream: TcpStream, place: OwnedSemaphorePermit) {
        let watched = Arc::new(Watched::new(self.clock.clone()));
        self.number += 1;
        let number = self.number;
        self.open.lock().insert(number, Arc::clone(&watched));
        let held = Held {
            open: Arc::clone(&self.open),
            number,
            _place: place,
        };
        let (router, bounds, shutdown) = (self.router.clone(), self.bounds, self.shutdown.clone());
        self.tasks.spawn(async move {
            let _held = held;
            attend(stream, router, &watched, &bounds, &shutdown).await;
        });
    }
}

/// What a connection holds until it ends, also where its handler panics.
struct Held {
    open: Open,
    number: u64,
    _place: OwnedSemaphorePermit,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.open.lock().remove(&self.number);
    }
}

fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    // Without it a peer that delays its acknowledgements holds every first token back for 40 ms.
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    SockRef::from(stream).set_tcp_notsent_lowat(UNSENT)?;
    Ok(())
}

/// Serves one connection to its end, or until it is overdue.
async fn attend(
    stream: TcpStream,
    router: Router,
    watched: &Arc<Watched>,
    bounds: &ConnectionBounds,
    shutdown: &Shutdown,
) {
    let mut builder = Builder::new(Streaming(Arc::clone(watched)));
    builder.http2().timer(TokioTimer::new());
    let service = Counted {
        router,
        watched: Arc::clone(watched),
    };
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    // When a connection that was told to end has had the time for it.
    let mut ends: Option<Instant> = None;
    loop {
        let told = tokio::select! {
            // First what the client has sent: a request that is there is answered, also by a connection that is told to end.
            biased;
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            () = shutdown.draining(), if ends.is_none() => Some(LINGER),
            () = watched.leave.notified() => Some(MAKE_ROOM),
            () = sleep(watched.look_after(bounds, ends)) => None,
        };
        let now = watched.clock.instant();
        let linger = match watched.overdue(bounds, now) {
            Some(Overdue::Silent) => return,
            Some(Overdue::Idle) => told.or(Some(LINGER)),
            Some(Overdue::Unread(response)) => {
                tracing::debug!("a client does not read its answer");
                if !watched.give_up(response) {
                    return;
                }
                told
            }
            None => told,
        };
        if let Some(linger) = linger {
            if ends.is_none() {
                // What is being answered ends in order; nothing new begins.
                connection.as_mut().graceful_shutdown();
            }
            let at = later(now, linger);
            ends = Some(ends.map_or(at, |ends| ends.min(at)));
        }
        if ends.is_some_and(|ends| ends <= now) && watched.activity.lock().is_idle() {
            return;
        }
    }
}

impl Watched {
    fn spare_since(&self, now: Instant) -> Option<Instant> {
        self.activity.lock().spare_since(now)
    }

    fn overdue(&self, bounds: &ConnectionBounds, now: Instant) -> Option<Overdue> {
        let (at, overdue) = self.activity.lock().due(bounds)?;
        (at <= now).then_some(overdue)
    }

    /// How long nothing needs to be decided. What begins meanwhile is due no sooner than the shortest bound after it began.
    fn look_after(&self, bounds: &ConnectionBounds, ends: Option<Instant>) -> Duration {
        let now = self.clock.instant();
        if let Some(ends) = ends {
            let left = ends.saturating_duration_since(now);
            return if left.is_zero() { LINGER } else { left };
        }
        let shortest = bounds.headers.min(bounds.idle).min(bounds.unread).max(SHORTEST);
        let due = self.activity.lock().due(bounds);
        due.map_or(shortest, |(at, _)| {
            at.saturating_duration_since(now).min(shortest)
        })
    }
}
