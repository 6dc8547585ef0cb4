//! A mixed load: streamed, not streamed, batch, cancelled and repeated (hits), at a steady rate.

use std::sync::Arc;
use std::time::Duration;

use relay_bus::{Bus, Headers, Outgoing, topics};
use relay_schemas::{BatchRequest, TenantId, encode};
use serde_json::json;
use tokio::task::JoinSet;

use crate::ask::{Manner, Saw, ask, unique_prompt};

/// How much, how fast.
#[derive(Debug, Clone)]
pub struct Load {
    /// Requests a second, all kinds together.
    pub rate: u32,
    /// How long.
    pub lasting: Duration,
    /// Makes prompts of this load differ from other loads'.
    pub seed: u64,
    /// Gateways to ask in turn.
    pub bases: Vec<String>,
}

/// Runs the load and returns what each client saw. Batch lines go through `bus`, where one is given.
pub async fn run(load: &Load, bus: Option<Arc<dyn Bus>>) -> Vec<Saw> {
    let http = crate::http::client();
    let mut clients = JoinSet::new();
    let mut tick = tokio::time::interval(Duration::from_secs(1) / load.rate);
    let count = load.rate * u32::try_from(load.lasting.as_secs()).unwrap_or(1);
    for number in 0..u64::from(count) {
        tick.tick().await;
        let base = load.bases[number as usize % load.bases.len()].clone();
        let tenant = format!("tenant-{}", number % 5);
        let unique = unique_prompt(load.seed * 1_000_000 + number);
        let (manner, prompt) = match number % 6 {
            0 | 1 => (Manner::Streamed, unique),
            2 => (Manner::Whole, unique),
            3 => (Manner::Cancelled, unique),
            // The same few questions of the same tenant again and again: hits.
            4 => (
                Manner::Whole,
                format!("the question that tenant {} always asks", number % 5),
            ),
            _ => match &bus {
                Some(bus) => {
                    let bus = bus.clone();
                    clients
                        .spawn(async move { batch_line(&*bus, &tenant, load_line(number), &unique).await });
                    continue;
                }
                None => (Manner::Streamed, unique),
            },
        };
        let http = http.clone();
        clients.spawn(async move { Some(ask(&http, &base, &tenant, &prompt, manner, None).await) });
    }
    clients.join_all().await.into_iter().flatten().collect()
}

fn load_line(number: u64) -> (String, String) {
    (format!("batch-{}", number / 100), format!("line-{number}"))
}

async fn batch_line(bus: &dyn Bus, tenant: &str, line: (String, String), prompt: &str) -> Option<Saw> {
    // While the brokers are away the line is simply not submitted; nothing was promised yet.
    let _ = bus
        .publish(vec![line_record(tenant, line, prompt)], Vec::new())
        .await;
    None
}

/// Puts `count` batch lines into the log at once, and one record that only a scheduler can end: poison among what is ready.
/// On the embedded column there is no other way in for batch yet, and only while the gateway does not run.
///
/// # Errors
/// If the log does not take them.
pub async fn seed_batch(bus: &dyn Bus, seed: u64, count: u64) -> anyhow::Result<()> {
    let line = |number| {
        let prompt = unique_prompt(seed * 1_000_000 + 900_000 + number);
        line_record(
            "tenant-0",
            (format!("batch-{seed}"), format!("line-{number}")),
            &prompt,
        )
    };
    bus.publish((0..count).map(line).collect(), Vec::new()).await?;
    let poison = Outgoing::keyed(
        topics::ready("default"),
        "poison",
        Headers::default(),
        "no Avro".into(),
    );
    bus.publish(vec![poison], Vec::new()).await?;
    Ok(())
}

fn line_record(tenant: &str, (batch_id, custom_id): (String, String), prompt: &str) -> Outgoing {
    let body = json!({"model": "mock", "temperature": 0, "messages": [{"role": "user", "content": prompt}]});
    let line = BatchRequest {
        batch_id: batch_id.clone(),
        custom_id,
        tenant: TenantId::from(tenant),
        body: body.to_string(),
        deadline: None,
    };
    Outgoing::keyed(
        topics::BATCH_REQUESTS,
        batch_id,
        Headers::default(),
        encode(&line),
    )
}
