//! Looks whether the log and the control seam answer.

use std::sync::Arc;
use std::time::Duration;

use relay_bus::Bus;
use relay_control::Control;

use super::readiness::{Dependency, Readiness};

/// Looks every `period`. Never returns; dropped at the end.
pub async fn run(bus: Arc<dyn Bus>, control: Arc<dyn Control>, readiness: Arc<Readiness>, period: Duration) {
    loop {
        let bus = async { bus.probe().await.map_err(|error| error.to_string()) };
        let control = async { control.probe().await.map_err(|error| error.to_string()) };
        let (bus, control) = tokio::join!(within(period, bus), within(period, control));
        readiness.report(Dependency::Bus, bus);
        readiness.report(Dependency::Control, control);
        tokio::time::sleep(period).await;
    }
}

async fn within(patience: Duration, probe: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    tokio::time::timeout(patience, probe)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {} ms", patience.as_millis())))
}
