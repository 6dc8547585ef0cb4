//! An ingress without the sockets: what answers, and what has to run beside it. [`crate::run`] serves it to clients that connect; a
//! test or a simulation asks its router.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures::future::BoxFuture;
use relay_bus::BusError;
use relay_control::Control;
use relay_runner::{ConnectionBounds, Identity, Runtime, ops_router};
use tokio_util::task::TaskTracker;

use crate::batch::Batch;
use crate::compose::{Ingress, compose};
use crate::config::Config;
use crate::error::Error;
use crate::http;

/// Longest wait for what clients left behind, once everything else has ended.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// An ingress put together, which has not looked at anything yet.
pub struct Assembled {
    /// Answers clients and probes.
    pub router: Router,
    /// Bounds of the connections that it is served on.
    pub connections: ConnectionBounds,
    /// What runs beside it.
    pub tasks: Tasks,
}

/// Puts an ingress together.
///
/// # Errors
/// If its metrics are registered already.
pub fn assemble(
    config: &Config,
    runtime: &Runtime,
    identity: &Identity,
    control: &Arc<dyn Control>,
) -> Result<Assembled, Error> {
    let Ingress {
        app,
        connections,
        batch,
        background,
        tasks: left_behind,
    } = compose(config, runtime, identity, control)?;
    let ops = ops_router(runtime.clone(), config.metrics_enabled);
    Ok(Assembled {
        router: http::router(app, ops, runtime.shutdown.clone()),
        connections,
        tasks: Tasks {
            runtime: runtime.clone(),
            identity: identity.clone(),
            batch,
            background,
            left_behind,
        },
    })
}

/// Listens, follows the log and sweeps while clients are answered, and is the batch half.
pub struct Tasks {
    runtime: Runtime,
    identity: Identity,
    batch: Option<Batch>,
    background: BoxFuture<'static, BusError>,
    left_behind: TaskTracker,
}

impl Tasks {
    /// Works until `serving`, which asks the router, and the batch half have ended. Both do when a drain is over.
    ///
    /// # Errors
    /// If the log cannot be followed, or the batch half cannot go on.
    pub async fn beside(self, serving: impl Future<Output = ()>) -> Result<(), Error> {
        let lines = async {
            match self.batch {
                Some(batch) => Box::pin(batch.run(&self.runtime, &self.identity)).await,
                None => Ok(()),
            }
        };
        let serving = async {
            serving.await;
            Ok(())
        };
        let result = tokio::select! {
            biased;
            result = async { tokio::try_join!(serving, lines) } => result,
            error = self.background => Err(error.into()),
        };
        self.left_behind.close();
        // Last cancels and refusals; what they do not reach, the deadline ends.
        let _ = tokio::time::timeout(LAST_WORDS, self.left_behind.wait()).await;
        Ok(result.map(|_| ())?)
    }
}
