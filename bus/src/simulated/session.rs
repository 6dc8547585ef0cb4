//! How long a member keeps its place without a word.

use std::sync::Arc;
use std::time::Duration;

use super::faults::Happened;
use super::process::{Column, Process};
use super::seat::Seat;

/// Watches over a seat: brokers take it from a member that is silent for too long, and with a process go the seats in its own log.
pub(super) async fn watch(process: Arc<Process>, seat: Arc<Seat>) {
    match process.column {
        Column::InProcess => process.life.died().await,
        Column::Brokers { session } => silence(&process, session).await,
    }
    end(&process, &seat);
}

/// Returns once a process was silent for so long.
async fn silence(process: &Process, session: Duration) {
    loop {
        tokio::select! {
            biased;
            () = process.life.stopped() => {}
            () = process.line.stopped() => {}
        }
        let speaks = async {
            process.life.act().await;
            process.line.act().await;
        };
        tokio::select! {
            biased;
            () = speaks => {}
            () = tokio::time::sleep(session) => return,
        }
    }
}

/// A member has gone, and nobody heard of it: its session ends as long after as if it were silent.
pub(super) async fn outlive(process: Arc<Process>, seat: Arc<Seat>) {
    if let Column::Brokers { session } = process.column {
        tokio::time::sleep(session).await;
        end(&process, &seat);
    }
}

fn end(process: &Process, seat: &Seat) {
    if process.is_far() && !seat.is_lost() {
        process.world.count(Happened::SessionEnded);
    }
    seat.lose();
}
