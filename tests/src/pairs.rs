//! Two ingresses on Kafka are asked under one idempotency key at the same time: by one body, or by two that differ.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::ask::{End, Manner, Observation, ask, unique_prompt};
use crate::files::kept;
use crate::gateway::KILLABLE;
use crate::ledger;
use crate::load::TENANTS;
use crate::production::Production;
use crate::proofs::{MOST, say, store};
use crate::settle::settle_running;

/// Pairs that are asked at once.
const AT_ONCE: u64 = 20;
/// How long it is asked again while nobody can tell whether a key is taken.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was seen.
#[derive(Debug)]
pub struct Report {
    /// Pairs with equal bodies, each told one end twice.
    pub equal: usize,
    /// Pairs with different ones: one was answered, the other refused.
    pub different: usize,
}

/// Asks `rounds` times by twenty pairs of each kind.
pub async fn one_key_two_ingresses(rounds: u64) -> anyhow::Result<Report> {
    let deployment = Production::prepare_eight(KILLABLE, &["--token-ms", "10"])?;
    let mut deployment = deployment.started().await?;
    let proof = pairs(&mut deployment, rounds).await;
    kept(proof, &mut deployment.folder)
}

async fn pairs(deployment: &mut Production, rounds: u64) -> anyhow::Result<Report> {
    let [first, second] = &deployment.base_urls[..] else {
        bail!("{} ingresses, not two", deployment.base_urls.len())
    };
    let seed = relay_clock::Clock::system().now().0.unsigned_abs();
    let mut saw = Vec::new();
    let (mut equal, mut different) = (0, 0);
    for round in 0..rounds {
        let asked = (0..2 * AT_ONCE).map(|number| {
            let is_equal = number % 2 == 0;
            let number = seed + 10_000 * round + 10 * number;
            let other = number + u64::from(!is_equal);
            let prompts = [number, other].map(unique_prompt);
            async move {
                let key = format!("pair-{number}");
                let tenant = format!("tenant-{}", number % TENANTS);
                let [one, two] = &prompts;
                let both = tokio::join!(
                    told(first, &tenant, one, &key, number),
                    told(second, &tenant, two, &key, number + 1)
                );
                let both = [both.0?, both.1?];
                let judged = if is_equal {
                    agree(&both)
                } else {
                    differ(&both, &prompts)
                };
                judged
                    .with_context(|| format!("{key}, {}", ["different", "equal"][usize::from(is_equal)]))?;
                anyhow::Ok(both)
            }
        });
        for pair in futures::future::join_all(asked).await {
            // Who was refused was told the key's id, whose record is of the other body.
            saw.extend(pair?.into_iter().filter(|saw| !is_refused(saw)));
        }
        equal += AT_ONCE as usize;
        different += AT_ONCE as usize;
        say(&format!("round {} of {rounds}", round + 1));
    }
    settle_running(&*ledger::kafka()?, &store()?, &saw, MOST).await?;
    deployment.stop_all()?;
    Ok(Report { equal, different })
}

/// Asks under `key` until something is known.
async fn told(base: &str, tenant: &str, prompt: &str, key: &str, number: u64) -> anyhow::Result<Observation> {
    let manner = [Manner::Whole, Manner::Streamed][number as usize % 2];
    let deadline = Instant::now() + PATIENCE;
    loop {
        let http = crate::http::client();
        let saw = ask(&http, base, tenant, prompt, manner, Some(key)).await;
        let is_unknown = matches!(&saw.end, End::Status(503, code) if ["idempotency_unavailable", "unknown_result"].contains(&code.as_str()));
        if !is_unknown {
            return Ok(saw);
        }
        ensure!(Instant::now() < deadline, "{key}: nobody can tell: {saw:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Both are told the same end.
fn agree([one, two]: &[Observation; 2]) -> anyhow::Result<()> {
    let finished = |saw: &Observation| matches!(saw.end, End::Finished(_));
    let same = one.request_id == two.request_id && one.end == two.end && one.text == two.text;
    ensure!(
        finished(one) && same,
        "one body under one key was told {one:?} and {two:?}"
    );
    Ok(())
}

/// One is told its own answer, and the other that the key is another body's.
fn differ(both: &[Observation; 2], prompts: &[String; 2]) -> anyhow::Result<()> {
    let told = |saw: &Observation, prompt: &str| {
        // The mock says the words of the question again.
        matches!(saw.end, End::Finished(_)) && saw.text.contains(prompt)
    };
    let [one, two] = both;
    ensure!(
        told(one, &prompts[0]) && is_refused(two) || told(two, &prompts[1]) && is_refused(one),
        "two bodies under one key were told {one:?} and {two:?}"
    );
    Ok(())
}

fn is_refused(saw: &Observation) -> bool {
    saw.end == End::Status(409, "idempotency_key_reused".to_owned())
}
