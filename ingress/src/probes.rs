//! Looks whether the log and the control seam answer, and puts it on the health board.

use std::sync::Arc;
use std::time::Duration;

use crate::gateway::{Gateway, dependency};

/// Looks again and again. Never returns; dropped at the end.
pub async fn run(gateway: Arc<Gateway>) {
    let every = Duration::from_millis(gateway.config.probe_every_ms.max(10));
    loop {
        let bus = async {
            gateway
                .runtime
                .bus
                .probe()
                .await
                .map_err(|error| error.to_string())
        };
        let control = async { gateway.control.probe().await.map_err(|error| error.to_string()) };
        tokio::join!(
            look(&gateway, dependency::BUS, every, bus),
            look(&gateway, dependency::CONTROL, every, control),
        );
        tokio::time::sleep(every).await;
    }
}

async fn look(
    gateway: &Gateway,
    name: &'static str,
    patience: Duration,
    probe: impl Future<Output = Result<(), String>>,
) {
    let result = tokio::time::timeout(patience, probe)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {} ms", patience.as_millis())));
    gateway.report(name, result);
}
