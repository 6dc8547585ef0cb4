//! Partitions are added to `ready` while everything runs: what is written there is served like all else.

use std::time::{Duration, Instant};

use anyhow::ensure;
use relay_bus::topics::{self, Manifest};
use relay_bus::{Bus, Partition};

use crate::ask::{End, Manner, ask, unique_prompt};
use crate::gateway::KILLABLE;
use crate::ledger;
use crate::production::Production;

/// Longest wait until the producers use what was added.
const USED: Duration = Duration::from_secs(60);
/// Requests that are to go there.
const ENOUGH: i64 = 5;

/// Adds partitions and asks for ever more tenants until enough of them lie there; each must be answered.
///
/// # Errors
/// If one is not.
pub async fn ready_grows() -> anyhow::Result<()> {
    let mut deployment = Production::start(KILLABLE, 1, &[]).await?;
    let (bus, topic) = (ledger::kafka()?, topics::ready("default"));
    let before = bus.partitions(&topic).await?;
    let more = format!(
        "pools: [default]\ntopics: [{{ name: {topic}, partitions: {}, retention: 2d, max_record: 1152KiB }}]",
        before + 6
    );
    for line in bus.apply(&Manifest::parse(&more)?).await? {
        eprintln!("  {line}");
    }
    let (http, deadline) = (crate::http::client(), Instant::now() + USED);
    let mut asked = 0;
    while there(&*bus, &topic, before).await? < ENOUGH {
        ensure!(
            Instant::now() < deadline,
            "no producer uses the partitions that were added"
        );
        asked += 1;
        let (tenant, prompt) = (format!("tenant-{asked}"), unique_prompt(7_300_000 + asked));
        let saw = ask(
            &http,
            &deployment.base_urls[0],
            &tenant,
            &prompt,
            Manner::Whole,
            None,
        )
        .await;
        ensure!(matches!(saw.end, End::Finished(_)), "{tenant} saw {saw:?}");
    }
    let ended = deployment.ended();
    ensure!(ended.is_empty(), "{ended:?} ended");
    Ok(())
}

/// How many records lie in the partitions that were added.
async fn there(bus: &dyn Bus, topic: &str, before: i32) -> anyhow::Result<i64> {
    let mut records = 0;
    for number in before..bus.partitions(topic).await? {
        records += bus.range(&Partition::new(topic, number)).await?.high;
    }
    Ok(records)
}
