//! Looks whether the log and the control seam answer.

use std::sync::Arc;
use std::time::Duration;

use relay_bus::{Bus, Room};
use relay_control::Control;

use super::readiness::{Dependency, Readiness};

/// When is looked. How often says nothing of how long an answer may take: a log that is busy for a moment is not away.
#[derive(Debug, Clone, Copy)]
pub struct Looks {
    /// Pause between two looks.
    pub every: Duration,
    /// Longest wait for an answer.
    pub patience: Duration,
}

/// Looks again and again. Never returns; dropped at the end.
pub async fn run(bus: Arc<dyn Bus>, control: Arc<dyn Control>, readiness: Arc<Readiness>, looks: Looks) {
    let Looks { every, patience } = looks;
    loop {
        let reached = async { bus.probe().await.map_err(|error| error.to_string()) };
        let control = async { control.probe().await.map_err(|error| error.to_string()) };
        let (reached, control) = tokio::join!(within(patience, reached), within(patience, control));
        readiness.report(Dependency::Bus, reached);
        readiness.report(Dependency::Room, enough(bus.room()));
        readiness.report(Dependency::Control, control);
        tokio::time::sleep(every).await;
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

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use relay_bus::testing::FaultyBus;
    use relay_control::{ControlError, Subscription};
    use relay_runner::Health;

    use relay_schemas::Payload;

    use super::*;

    /// A seam that answers probes after a while, and carries nothing.
    struct Slow(Duration);

    #[async_trait]
    impl Control for Slow {
        async fn send(&self, _: &str, _: Payload) -> Result<(), ControlError> {
            std::future::pending().await
        }

        async fn subscribe(&self, _: &str, _: Option<&str>) -> Result<Box<dyn Subscription>, ControlError> {
            std::future::pending().await
        }

        async fn request(&self, _: &str, _: Payload, _: Duration) -> Result<Payload, ControlError> {
            std::future::pending().await
        }

        fn max_payload(&self) -> usize {
            0
        }

        async fn probe(&self) -> Result<(), ControlError> {
            tokio::time::sleep(self.0).await;
            Ok(())
        }
    }

    /// What is known of the seam once `looks` have found it so.
    async fn until(answers_after: Duration, looks: Looks, found: impl Fn(Option<&str>) -> bool) {
        let folder = tempfile::tempdir().expect("a folder");
        let bus = Arc::new(FaultyBus::with_topics(folder.path(), &[]));
        let health = Health::default();
        let readiness = Arc::new(Readiness::new(health.clone()));
        let wait = async {
            while !found(health.all()["control"].as_deref()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            () = run(bus, Arc::new(Slow(answers_after)), readiness, looks) => {}
            () = tokio::time::sleep(Duration::from_secs(20)) => panic!("it was never found so: {:?}", health.all()),
            () = wait => {}
        }
    }

    #[tokio::test]
    async fn an_answer_may_take_longer_than_the_pause_between_two_looks() {
        let looks = Looks {
            every: Duration::from_millis(1),
            patience: Duration::from_secs(20),
        };
        until(Duration::from_millis(50), looks, |missing| missing.is_none()).await;
    }

    #[tokio::test]
    async fn what_gives_no_answer_within_the_patience_is_missing() {
        let looks = Looks {
            every: Duration::from_secs(20),
            patience: Duration::from_millis(20),
        };
        let said = Some("no answer within 20 ms");
        until(Duration::from_secs(60), looks, |missing| missing == said).await;
    }
}
