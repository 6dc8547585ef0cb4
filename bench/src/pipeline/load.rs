//! Open loop: requests leave when they are due, whether or not earlier ones have come back, so that a slow answer is not hidden.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use relay_tests::ask::{End, Manner, ask, unique_prompt};
use tokio::task::JoinSet;

use crate::pace::paced;

/// What came back.
#[derive(Debug, Default)]
pub struct Came {
    /// From due to last byte, milliseconds, of those that finished.
    pub latencies_ms: Vec<f64>,
    /// Those that did not finish.
    pub failed: usize,
    /// Wall time, seconds.
    pub wall_s: f64,
}

/// The stamps in the envelope are whole milliseconds. Requests that are due at all phases of one make the mean of many stamps true.
const STAMP_S: f64 = 1e-3;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// `rate` requests a second for `lasting`, every second one streamed.
pub async fn open(bases: &[String], rate: u32, lasting: Duration) -> Came {
    let http = relay_tests::http::client();
    let begin = Instant::now();
    let mut asked = JoinSet::new();
    let count = (f64::from(rate) * lasting.as_secs_f64()) as u32;
    let mut dues = paced((0..count).map(move |number| {
        let due = f64::from(number) / f64::from(rate) + rand::random_range(0.0..STAMP_S);
        begin + Duration::from_secs_f64(due)
    }));
    while let Some(due) = dues.recv().await {
        let (http, base) = (http.clone(), bases[asked.len() % bases.len()].clone());
        asked.spawn(async move { (one(&http, &base).await, due.elapsed()) });
    }
    let mut came = Came::default();
    for (finished, took) in asked.join_all().await {
        if finished {
            came.latencies_ms.push(took.as_secs_f64() * 1e3);
        } else {
            came.failed += 1;
        }
    }
    came.wall_s = begin.elapsed().as_secs_f64();
    came
}

/// `clients` that each ask again as soon as they are answered: what it does flat out.
pub async fn closed(bases: &[String], clients: usize, lasting: Duration) -> Came {
    let http = relay_tests::http::client();
    let begin = Instant::now();
    let done = Arc::new(AtomicU64::new(0));
    let mut running = JoinSet::new();
    for number in 0..clients {
        let (http, base, done) = (http.clone(), bases[number % bases.len()].clone(), done.clone());
        running.spawn(async move {
            let mut latencies = Vec::new();
            while begin.elapsed() < lasting {
                let asked = Instant::now();
                if one(&http, &base).await {
                    done.fetch_add(1, Ordering::Relaxed);
                    latencies.push(asked.elapsed().as_secs_f64() * 1e3);
                }
            }
            latencies
        });
    }
    let latencies_ms = running.join_all().await.concat();
    Came {
        latencies_ms,
        failed: 0,
        wall_s: begin.elapsed().as_secs_f64(),
    }
}

async fn one(http: &reqwest::Client, base: &str) -> bool {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let manner = if number.is_multiple_of(2) {
        Manner::Whole
    } else {
        Manner::Streamed
    };
    let tenant = format!("tenant-{}", number % 8);
    let saw = ask(http, base, &tenant, &unique_prompt(number), manner, None).await;
    matches!(saw.end, End::Finished(_))
}
