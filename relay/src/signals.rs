//! Ctrl-C and SIGTERM: once to drain, twice to stop.

use std::fmt;
use std::time::Duration;

use relay_runner::Shutdown;
use tokio::sync::oneshot;

/// After a second signal, the time for what ends by itself.
const LAST: Duration = Duration::from_secs(1);

/// A second signal ended the drain.
#[derive(Debug)]
pub struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stopped before the drain was over; what was in flight is in the log and goes on at the next start")
    }
}

impl std::error::Error for Interrupted {}

/// Hears signals on a thread of its own: a second one ends this process whatever its other threads are busy with, a model that
/// loads for ever among them. Says, once the drain is stopped, whether it was by a second signal.
pub fn heard(shutdown: Shutdown, grace: Duration) -> std::io::Result<oneshot::Receiver<bool>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (tell, told) = oneshot::channel();
    let listen = move || {
        let interrupted = runtime.block_on(drain_and_stop(shutdown, grace));
        // Where nobody waits for it, the process is at its end.
        let _ = tell.send(interrupted);
        if interrupted {
            std::thread::sleep(LAST);
            eprintln!("relay: {Interrupted}");
            std::process::exit(1);
        }
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(listen)?;
    Ok(told)
}

/// The first Ctrl-C (or SIGTERM) drains; a second one, or the end of the grace period, stops. Says whether it was a second one.
async fn drain_and_stop(shutdown: Shutdown, grace: Duration) -> bool {
    let mut terminate = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(terminate) => terminate,
        Err(error) => {
            tracing::warn!(%error, "neither SIGTERM nor Ctrl-C can be heard: both end this process at once");
            return false;
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!(
        grace_ms = grace.as_millis() as u64,
        "draining: streams in flight may finish; once more to stop now"
    );
    shutdown.drain();
    let interrupted = tokio::select! {
        _ = tokio::signal::ctrl_c() => true,
        _ = terminate.recv() => true,
        () = tokio::time::sleep(grace) => {
            tracing::warn!("the grace period is over");
            false
        }
    };
    shutdown.stop();
    interrupted
}
