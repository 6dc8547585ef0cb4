//! Images of a real disk, taken while large requests are acknowledged and segments roll: what an image holds is what a loss of power
//! would have left, and every request that was acknowledged before it ends there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use parking_lot::Mutex;
use relay_schemas::TimestampMs;
use serde_json::json;
use tokio::task::JoinSet;

use crate::ask::{End, Observation, unique_prompt};
use crate::disk::Disk;
use crate::files::kept;
use crate::gateway::{Gateway, KILLABLE};
use crate::load::TENANTS;
use crate::proofs::{MOST, say};
use crate::settle::settle_after_restart;

const DISK_MIB: u64 = 400;
/// Requests of one image.
const REQUESTS: u64 = 50;
/// Bytes of one.
const LARGE: usize = 100_000;

/// What was seen.
#[derive(Debug, Default)]
pub struct Report {
    /// Requests whose clients had a 200 when an image was taken; none is lost.
    pub acknowledged: usize,
    /// Segments of the logs in the images.
    pub segments: usize,
}

/// Takes `images`, each of a gateway of its own, and starts the gateway on what the image holds.
pub async fn images(images: u64) -> anyhow::Result<Report> {
    let mut report = Report::default();
    for image in 0..images {
        let mut gateway = Gateway::prepare(KILLABLE, &["--token-ms", "10"])?;
        gateway.configure("bus: { kind: embedded, segment_size: 1MiB }\n")?;
        let disk = Disk::holding(gateway.folder.path(), &gateway.data(), DISK_MIB)?;
        let proof = take(&mut gateway, &disk, &mut report).await;
        gateway.kill();
        kept(proof, &mut gateway.folder)?;
        say(&format!("image {} of {images}", image + 1));
    }
    Ok(report)
}

async fn take(gateway: &mut Gateway, disk: &Disk, report: &mut Report) -> anyhow::Result<()> {
    gateway.run(None)?;
    gateway.ready().await?;
    let told = Arc::new(Mutex::new(Vec::new()));
    let mut clients = JoinSet::new();
    for number in 0..REQUESTS {
        clients.spawn(ask_for_much(gateway.base_url.clone(), number, Arc::clone(&told)));
    }
    let wanted = rand::random_range(REQUESTS as usize / 2..=REQUESTS as usize);
    let deadline = Instant::now() + Duration::from_secs(60);
    while told.lock().len() < wanted {
        ensure!(
            Instant::now() < deadline,
            "{} of {wanted} are acknowledged",
            told.lock().len()
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // A client may be told while the image is taken, and only what was told before counts: nobody writes meanwhile.
    let acknowledged: Vec<Observation> = told.lock().clone();
    gateway.signal("STOP");
    disk.take_image()?;
    gateway.kill();
    clients.shutdown().await;
    disk.become_the_image()?;
    let segments = std::fs::read_dir(gateway.data().join("log"))?.count() - 1;
    ensure!(segments > 1, "no segment was closed");
    settle_after_restart(gateway, &acknowledged, MOST).await?;
    report.acknowledged += acknowledged.len();
    report.segments += segments;
    Ok(())
}

/// A large question; says at once that it was acknowledged.
async fn ask_for_much(base: String, number: u64, told: Arc<Mutex<Vec<Observation>>>) -> anyhow::Result<()> {
    let prompt = format!("{} {}", unique_prompt(number), "and so on ".repeat(LARGE / 10));
    let body = json!({"model": "mock", "temperature": 0, "stream": true, "max_tokens": 64,
        "messages": [{"role": "user", "content": prompt}]});
    let response = crate::http::client()
        .post(format!("{base}/v1/chat/completions"))
        .header("x-tenant-id", format!("tenant-{}", number % TENANTS))
        .json(&body)
        .send()
        .await?;
    let id = response.headers().get("x-request-id");
    let id = id.and_then(|id| id.to_str().ok()).map(str::to_owned);
    if !response.status().is_success() {
        bail!("{}", response.status());
    }
    told.lock().push(Observation {
        request_id: id,
        text: String::new(),
        // What it is shown later may not be in the image.
        end: End::Left,
        at: TimestampMs(0),
        began: true,
    });
    response.bytes().await?;
    Ok(())
}
