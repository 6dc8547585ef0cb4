//! The clock of an open loop.

use std::time::Instant;

use tokio::sync::mpsc;

/// Tells each of `dues` when it is due, by a thread that sleeps: the runtime's timers are a millisecond coarse, and more than that is
/// not to be measured. Never waits for whoever listens, so the channel holds at most all of `dues`.
pub fn paced(dues: impl Iterator<Item = Instant> + Send + 'static) -> mpsc::UnboundedReceiver<Instant> {
    let (tick, ticks) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for due in dues {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if tick.send(due).is_err() {
                return;
            }
        }
    });
    ticks
}
