//! Looks whether the log and the control seam answer.

use std::sync::Arc;
use std::time::Duration;

use relay_bus::{Bus, Room};
use relay_control::Control;

use super::readiness::{Dependency, Readiness};

/// Looks every `period`. Never returns; dropped at the end.
pub async fn run(bus: Arc<dyn Bus>, control: Arc<dyn Control>, readiness: Arc<Readiness>, period: Duration) {
    loop {
        let reached = async { bus.probe().await.map_err(|error| error.to_string()) };
        let control = async { control.probe().await.map_err(|error| error.to_string()) };
        let (reached, control) = tokio::join!(within(period, reached), within(period, control));
        readiness.report(Dependency::Bus, reached);
        readiness.report(Dependency::Room, enough(bus.room()));
        readiness.report(Dependency::Control, control);
        tokio::time::sleep(period).await;
    }
}

fn enough(room: Room) -> Result<(), String> {
    match room {
        Room::Enough => Ok(()),
        Room::Reserved { free, reserve } => Err(format!(
            "{free} bytes are left on the disk of the log, and {reserve} are kept for what was accepted: new requests are refused \
             until there is room"
        )),
    }
}

async fn within(patience: Duration, probe: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    tokio::time::timeout(patience, probe)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {} ms", patience.as_millis())))
}
