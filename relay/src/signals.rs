//! Ctrl-C, SIGTERM and SIGHUP: once to drain, twice to stop. SIGHUP would end a process without a word, and comes unasked: the kernel
//! sends it to a process that is stopped when its session's leader goes.

use std::fmt;
use std::time::Duration;

use relay_runner::Shutdown;
use tokio::signal::unix::{Signal, SignalKind, signal};

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
/// loads for ever among them. The first one says that it is to end within `timeout`.
pub fn hear(process: Shutdown, timeout: Duration) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listen = move || match runtime.block_on(end_and_stop(&process, timeout)) {
        Ok(()) => {
            std::thread::sleep(LAST);
            eprintln!("relay: {Interrupted}");
            std::process::exit(1);
        }
        Err(error) => tracing::warn!(%error, "no signal can be heard: each ends this process at once"),
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(listen)?;
    Ok(())
}

/// The first signal drains, a second one stops.
async fn end_and_stop(process: &Shutdown, timeout: Duration) -> std::io::Result<()> {
    let mut signals = Signals::heard()?;
    let signal = signals.next().await;
    tracing::info!(
        signal,
        drain_timeout_ms = timeout.as_millis() as u64,
        "draining: what is in flight may finish; once more to stop now"
    );
    process.end();
    let signal = signals.next().await;
    tracing::warn!(
        signal,
        "a second signal: this process stops before its drain is over"
    );
    process.stop();
    Ok(())
}

/// The signals that ask a process to end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// Nothing where whoever started this process had it ignored (`nohup`).
    hangup: Option<Signal>,
}

impl Signals {
    fn heard() -> std::io::Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let hangup = !ignores(&status, SignalKind::hangup().as_raw_value());
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: hangup.then(|| signal(SignalKind::hangup())).transpose()?,
        })
    }

    /// The name of the next one.
    async fn next(&mut self) -> &'static str {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = hangup => "SIGHUP",
        }
    }
}

/// Whether a process with this `/proc/…/status` ignores a signal.
fn ignores(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_whoever_started_us_had_ignored_stays_ignored() {
        let status = |mask: &str| format!("Name:\trelay\nSigBlk:\t0000000000000001\nSigIgn:\t{mask}\n");
        assert!(ignores(&status("0000000000001001"), 1));
        assert!(!ignores(&status("0000000000001000"), 1));
        assert!(ignores(&status("0000000000001000"), 13));
        assert!(!ignores("", 1), "nothing is known of it");
    }
}
