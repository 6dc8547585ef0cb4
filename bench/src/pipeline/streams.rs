//! Streams: clients that each ask again as soon as their answer has come, and when its first token did.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::load::{next, tenant};

/// What came back.
#[derive(Debug, Default)]
pub struct Streams {
    /// From asking to the first token, milliseconds, of those that finished.
    pub first_ms: Vec<f64>,
    /// Those that finished.
    pub finished: usize,
    /// Those that did not.
    pub failed: usize,
}

/// `clients` ask for streams of `tokens` until `lasting` is over.
pub async fn streams(bases: &[String], clients: usize, tokens: u32, lasting: Duration) -> Streams {
    let http = relay_tests::http::client();
    let begin = Instant::now();
    let mut running = JoinSet::new();
    for number in 0..clients {
        let (http, base) = (http.clone(), bases[number % bases.len()].clone());
        running.spawn(async move {
            let mut seen = Streams::default();
            while begin.elapsed() < lasting {
                seen.add(one(&http, &base, tokens).await);
            }
            seen
        });
    }
    let mut all = Streams::default();
    for of_client in running.join_all().await {
        all.first_ms.extend(of_client.first_ms);
        all.finished += of_client.finished;
        all.failed += of_client.failed;
    }
    all
}

impl Streams {
    fn add(&mut self, first: Option<Duration>) {
        match first {
            Some(first) => {
                self.first_ms.push(first.as_secs_f64() * 1e3);
                self.finished += 1;
            }
            None => self.failed += 1,
        }
    }
}

/// When the first token came, of a stream that came whole. What came is looked at once, at its end, and before its first token: reading
/// every chunk as JSON would cost the machine more than the gateway does.
async fn one(http: &reqwest::Client, base: &str, tokens: u32) -> Option<Duration> {
    let number = next();
    let body = format!(
        r#"{{"model":"mock","temperature":0,"stream":true,"max_tokens":{tokens},"messages":[{{"role":"user","content":"please echo the words of stream number {number}"}}]}}"#
    );
    let asked = Instant::now();
    let request = http
        .post(format!("{base}/v1/chat/completions"))
        .header("x-tenant-id", tenant(number))
        .header("content-type", "application/json")
        .body(body);
    let mut response = request.send().await.ok()?.error_for_status().ok()?;
    let (mut came, mut first) = (Vec::new(), None);
    while let Some(chunk) = response.chunk().await.ok()? {
        came.extend_from_slice(&chunk);
        if first.is_none() && says(&came) {
            first = Some(asked.elapsed());
        }
    }
    came.ends_with(b"data: [DONE]\n\n").then_some(first).flatten()
}

/// Whether a chunk has some text.
fn says(events: &[u8]) -> bool {
    const CONTENT: &[u8] = br#""content":""#;
    let at = |window: usize| {
        events
            .get(window + CONTENT.len())
            .is_some_and(|byte| *byte != b'"')
    };
    let mut windows = events.windows(CONTENT.len()).enumerate();
    windows.any(|(number, window)| window == CONTENT && at(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_chunk_of_a_stream_names_a_role_and_says_nothing() {
        let role = br#"data: {"choices":[{"delta":{"role":"assistant","content":""}}]}"#;
        assert!(!says(role));
        let both = [&role[..], br#"data: {"choices":[{"delta":{"content":"word"}}]}"#].concat();
        assert!(says(&both));
        assert!(!says(br#"data: {"content":""#), "what follows has not come yet");
    }

    #[tokio::test]
    async fn what_nobody_answers_has_failed() {
        let nobody = [format!("http://127.0.0.1:{}", relay_tests::files::free_port())];
        let seen = streams(&nobody, 2, 8, Duration::from_millis(20)).await;
        assert!(seen.failed >= 2 && seen.finished == 0 && seen.first_ms.is_empty());
    }
}
