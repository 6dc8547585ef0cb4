//! Open loop: requests leave when they are due, whether or not earlier ones have come back, so that a slow answer is not hidden.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use relay_schemas::TimestampMs;
use relay_tests::ask::{End, Manner, ask, unique_prompt};
use tokio::task::JoinSet;

use crate::pace::paced;

/// What came back.
#[derive(Debug, Default)]
pub struct LoadResult {
    /// From due to last byte, milliseconds, of those that finished.
    pub latencies_ms: Vec<f64>,
    /// Those that finished under a request id: a backend without Relay gives none.
    pub seen: Vec<ClientStamps>,
    /// Those that did not finish.
    pub failed: usize,
    /// Wall time, seconds.
    pub wall_s: f64,
}

/// The client's own stamps of one request that finished.
#[derive(Debug)]
pub struct ClientStamps {
    /// `x-request-id`.
    pub request_id: String,
    /// When it was due.
    pub due: TimestampMs,
    /// When its last byte had come.
    pub answered: TimestampMs,
}

/// How one question ended.
struct Answer {
    finished: bool,
    request_id: Option<String>,
    took: Duration,
    at: SystemTime,
}

/// The stamps in the envelope are whole milliseconds. Requests that are due at all phases of one make the mean of many stamps true.
const STAMP_S: f64 = 1e-3;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// What is asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asking {
    /// Under an idempotency key of its own each.
    pub keyed: bool,
    /// Bytes that a prompt has at least.
    pub prompt: usize,
    /// No answer as a stream; else every second one.
    pub whole: bool,
}

/// `rate` requests a second for `lasting`.
pub async fn open(bases: &[String], rate: u32, lasting: Duration, asking: Asking) -> LoadResult {
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
        asked.spawn(async move { one(&http, &base, due, asking).await });
    }
    let mut result = LoadResult::default();
    for answer in asked.join_all().await {
        result.add(answer);
    }
    result.wall_s = begin.elapsed().as_secs_f64();
    result
}

/// `clients` that each ask again as soon as they are answered: what it does flat out.
pub async fn closed(bases: &[String], clients: usize, lasting: Duration, asking: Asking) -> LoadResult {
    let http = relay_tests::http::client();
    let begin = Instant::now();
    let mut running = JoinSet::new();
    for number in 0..clients {
        let (http, base) = (http.clone(), bases[number % bases.len()].clone());
        running.spawn(async move {
            let mut result = LoadResult::default();
            while begin.elapsed() < lasting {
                result.add(one(&http, &base, Instant::now(), asking).await);
            }
            result
        });
    }
    let mut result = LoadResult::default();
    for of_client in running.join_all().await {
        result.merge(of_client);
    }
    result.wall_s = begin.elapsed().as_secs_f64();
    result
}

impl LoadResult {
    fn add(&mut self, answer: Answer) {
        if !answer.finished {
            self.failed += 1;
            return;
        }
        self.latencies_ms.push(answer.took.as_secs_f64() * 1e3);
        self.seen.extend(answer.request_id.map(|request_id| ClientStamps {
            request_id,
            due: stamp(answer.at - answer.took),
            answered: stamp(answer.at),
        }));
    }

    fn merge(&mut self, other: Self) {
        self.latencies_ms.extend(other.latencies_ms);
        self.seen.extend(other.seen);
        self.failed += other.failed;
    }
}

/// As the stages stamp: whole milliseconds, rounded down once.
fn stamp(at: SystemTime) -> TimestampMs {
    TimestampMs(at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64)
}

/// Asks once; the time counts from when it was `due`.
async fn one(http: &reqwest::Client, base: &str, due: Instant, asking: Asking) -> Answer {
    let number = next();
    let manner = if asking.whole || number.is_multiple_of(2) {
        Manner::Whole
    } else {
        Manner::Streamed
    };
    let (tenant, prompt) = (tenant(number), prompt(number, asking.prompt));
    let key = asking.keyed.then(|| format!("key-{number}"));
    let saw = ask(http, base, &tenant, &prompt, manner, key.as_deref()).await;
    Answer {
        finished: matches!(saw.end, End::Finished(_)),
        request_id: saw.request_id,
        took: due.elapsed(),
        at: SystemTime::now(),
    }
}

/// The number of a question, which no other one has.
pub(super) fn next() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Whose question it is: eight take turns.
pub(super) fn tenant(number: u64) -> String {
    format!("tenant-{}", number % 8)
}

/// A prompt that no other question has, of that many bytes at least.
fn prompt(number: u64, length: usize) -> String {
    const MORE: &str = " and all that stands in this rather long document, word by word";
    let mut prompt = unique_prompt(number);
    let missing = length.saturating_sub(prompt.len());
    prompt.push_str(&MORE.repeat(missing.div_ceil(MORE.len())));
    prompt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_loads_count_what_nobody_answers_as_failed() {
        let nobody = [format!("http://127.0.0.1:{}", relay_tests::files::free_port())];
        let result = open(&nobody, 100, Duration::from_millis(50), Asking::default()).await;
        assert_eq!((result.failed, result.latencies_ms.len()), (5, 0));
        let result = closed(&nobody, 2, Duration::from_millis(50), Asking::default()).await;
        assert!(result.failed >= 2, "each client asked at least once, {result:?}");
        assert!(result.latencies_ms.is_empty());
    }

    #[test]
    fn a_prompt_is_as_long_as_was_asked_for_and_no_other_one() {
        assert_eq!(prompt(1, 0), unique_prompt(1));
        let (one, other) = (prompt(1, 300_000), prompt(2, 300_000));
        assert!((300_000..300_100).contains(&one.len()), "{}", one.len());
        assert_ne!(one, other);
    }
}
