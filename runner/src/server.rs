//! Accepts connections: `TCP_NODELAY`, a time limit for headers, a bound on how many, and a drain that lets streams finish.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::shutdown::Shutdown;

/// What bounds the connections of one listener.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionBounds {
    /// Most at once; further ones wait in the operating system.
    pub most_connections: usize,
    /// Longest time for a request's headers.
    pub header_timeout: Duration,
    /// How long responses may take to finish during a drain.
    pub grace: Duration,
}

/// Serves until a drain, and then until every response has ended or the grace period is over.
pub async fn serve_http(router: Router, listener: TcpListener, bounds: ConnectionBounds, shutdown: Shutdown) {
    let places = Arc::new(Semaphore::new(
        bounds.most_connections.clamp(1, Semaphore::MAX_PERMITS),
    ));
    let mut connections = Connections {
        builder: builder(bounds.header_timeout),
        router,
        graceful: GracefulShutdown::new(),
        tasks: tokio::task::JoinSet::new(),
    };
    loop {
        let accepted = tokio::select! {
            () = shutdown.draining() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        // Ended connections are forgotten as new ones come.
        while connections.tasks.try_join_next().is_some() {}
        if let Some((stream, place)) = accepted {
            connections.start(stream, place);
        }
    }
    drop(listener);
    tokio::select! {
        () = connections.graceful.shutdown() => {}
        () = shutdown.grace_over(bounds.grace) => tracing::warn!("streams were cut off at the end of the grace period"),
    }
    connections.tasks.shutdown().await;
}

struct Connections {
    builder: Builder<TokioExecutor>,
    router: Router,
    graceful: GracefulShutdown,
    tasks: tokio::task::JoinSet<()>,
}

impl Connections {
    fn start(&mut self, stream: TcpStream, place: OwnedSemaphorePermit) {
        let service = TowerToHyperService::new(self.router.clone());
        let connection = self
            .builder
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        let connection = self.graceful.watch(connection);
        self.tasks.spawn(async move {
            let _place = place;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
}

fn builder(header_timeout: Duration) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout);
    builder.http2().timer(TokioTimer::new());
    builder
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            // Without it a peer that delays its acknowledgements holds every first token back for 40 ms.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY cannot be set");
            }
            Some((stream, place))
        }
        Err(error) => {
            // Typically too many open files: what is open must end first.
            tracing::warn!(%error, "a connection cannot be accepted");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}
