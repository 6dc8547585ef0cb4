//! Watches the parts of a process: each of them tries again by itself where it notices that it stands still. One that does all the
//! same is told on `/readyz`, by a metric and a warning, and in the end by the end of the process: another one may do better, and
//! nobody has to look for what is dead in this one.

use std::time::Duration;

use prometheus::{IntGauge, Opts};
use serde::Deserialize;

use crate::health::dependency::PROGRESS;
use crate::runtime::Runtime;

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The section `watchdog`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WatchdogTimes {
    /// A part that has stood still for so long is told on `/readyz` and in the log.
    #[serde(with = "humantime_serde")]
    pub told_after: Duration,
    /// After so long the process ends.
    #[serde(with = "humantime_serde")]
    pub ends_after: Duration,
}

impl Default for WatchdogTimes {
    fn default() -> Self {
        Self {
            told_after: Duration::from_secs(30),
            ends_after: Duration::from_secs(300),
        }
    }
}

/// A part stands still for good.
#[derive(Debug, thiserror::Error)]
#[error(
    "for {} s {what}, and what was tried did not help: this process ends, so that it is started again (`watchdog.ends_after`)",
    lasts.as_secs()
)]
pub struct StandsStill {
    lasts: Duration,
    what: String,
}

/// Watches the parts of a process until it drains.
///
/// # Errors
/// Once one has stood still for too long.
pub async fn watch_parts(runtime: &Runtime, times: WatchdogTimes) -> Result<(), StandsStill> {
    let gauge = gauge();
    if let Some(gauge) = &gauge
        && let Err(error) = runtime.metrics.register(Box::new(gauge.clone()))
    {
        tracing::warn!(%error, "the metric of parts that stand still is not shown");
    }
    let mut told = false;
    loop {
        let now = runtime.clock.instant();
        if let Some(gauge) = &gauge {
            gauge.set(runtime.watchdog.count() as i64);
        }
        match runtime.watchdog.longest(now, times.told_after) {
            Some((lasts, what)) if lasts >= times.ends_after => return Err(StandsStill { lasts, what }),
            Some((lasts, what)) => {
                let reason = format!("for {} s {what}", lasts.as_secs());
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(
                        "{reason}; it is tried again, and the process ends where that does not help"
                    );
                }
                runtime.health.down(PROGRESS, reason);
            }
            None if told => {
                told = false;
                tracing::info!("every part makes progress again");
                runtime.health.up(PROGRESS);
            }
            None => {}
        }
        tokio::select! {
            biased;
            () = runtime.shutdown.draining() => return Ok(()),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

fn gauge() -> Option<IntGauge> {
    IntGauge::with_opts(Opts::new(
        "relay_runner_parts_standing_still",
        "Parts of the process that make no progress though there is work; should be 0.",
    ))
    .ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use relay_clock::Clock;
    use relay_schemas::TimestampMs;

    use super::*;

    fn runtime(clock: Clock) -> Runtime {
        let folder = tempfile::tempdir().expect("a folder");
        let bus = relay_bus::testing::FaultyBus::with_topics(folder.path(), &["t"]);
        Runtime {
            clock,
            ..Runtime::new(Arc::new(bus))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_stands_still_is_told_until_it_moves_and_ends_the_process_where_it_does_not() {
        let (clock, manual) = Clock::manual(TimestampMs(0));
        let runtime = runtime(clock.clone());
        let times = WatchdogTimes::default();
        let watched = runtime.clone();
        let watching = tokio::spawn(async move { watch_parts(&watched, times).await });
        let (reader, other) = (runtime.watchdog.part(), runtime.watchdog.part());
        reader.stands_still("t-0 is read to 1 of 2".to_owned(), &clock);
        tokio::time::sleep(LOOK_EVERY * 2).await;
        assert!(runtime.health.is_ready(), "too early to tell");
        manual.advance(times.told_after);
        other.stands_still("u-0 is read to 5 of 6".to_owned(), &clock);
        reader.stands_still("t-0 is read to 1 of 3".to_owned(), &clock);
        tokio::time::sleep(LOOK_EVERY * 2).await;
        assert_eq!(runtime.health.told()[PROGRESS], "for 30 s t-0 is read to 1 of 3");
        reader.moves();
        tokio::time::sleep(LOOK_EVERY * 2).await;
        assert!(
            runtime.health.is_ready(),
            "it goes on, and the other one is young"
        );
        manual.advance(times.ends_after);
        let ended = watching
            .await
            .expect("no panic")
            .expect_err("the other one never moved");
        assert!(
            ended.to_string().contains("for 300 s u-0 is read to 5 of 6"),
            "{ended}"
        );
        drop(other);
        assert_eq!(runtime.watchdog.count(), 0);
    }
}
