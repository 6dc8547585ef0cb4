//! A mixed load: streamed, not streamed, batch, cancelled and repeated (hits), at a steady rate.
//!
//! What is meant to be a hit may miss and what is meant to be cancelled may end first, so `shares` judges what happened.

use std::sync::Arc;
use std::time::Duration;

use relay_bus::{Bus, Headers, Outgoing, topics};
use relay_schemas::{BatchRequest, Operation, TenantId, encode};
use serde_json::json;
use tokio::task::JoinSet;

use crate::ask::{Manner, Observation, ask, unique_prompt};

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

/// What a request is meant to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Streamed,
    Whole,
    Cancelled,
    Hit,
    Batch,
}

/// Each kind well above the 15 % that are asked for. The length shares no factor with the number of tenants, nor does it
/// without batch, so every tenant asks in every manner.
const MIX: [Kind; 17] = {
    use Kind::{Batch, Cancelled, Hit, Streamed, Whole};
    [
        Streamed, Cancelled, Hit, Batch, Whole, Streamed, Cancelled, Streamed, Hit, Batch, Whole, Cancelled,
        Streamed, Hit, Batch, Whole, Cancelled,
    ]
};
pub(crate) const TENANTS: u64 = 5;

/// How many batch lines belong to so many seconds of a load that has none of its own.
pub fn batch_lines_for(rate: u32, lasting: Duration) -> u64 {
    let lines = MIX.iter().filter(|kind| **kind == Kind::Batch).count();
    let others = MIX.len() - lines;
    (f64::from(rate) * lasting.as_secs_f64() * lines as f64 / others as f64) as u64
}

/// Runs the load and returns what each client saw. Batch lines go through `bus`, where one is given; else there are none.
pub async fn run(load: &Load, bus: Option<Arc<dyn Bus>>) -> Vec<Observation> {
    let mix: Vec<Kind> = MIX
        .into_iter()
        .filter(|kind| bus.is_some() || *kind != Kind::Batch)
        .collect();
    let http = crate::http::client();
    let mut clients = JoinSet::new();
    let mut tick = tokio::time::interval(Duration::from_secs(1) / load.rate);
    let count = (f64::from(load.rate) * load.lasting.as_secs_f64()) as u64;
    for number in 0..count {
        tick.tick().await;
        let base = load.bases[number as usize % load.bases.len()].clone();
        let tenant = format!("tenant-{}", number % TENANTS);
        let unique = unique_prompt(load.seed * 1_000_000 + number);
        let (manner, prompt) = match mix[number as usize % mix.len()] {
            Kind::Streamed => (Manner::Streamed, unique),
            Kind::Whole => (Manner::Whole, unique),
            Kind::Cancelled => (Manner::Cancelled, unique),
            // The same question of the same tenant again and again.
            Kind::Hit => (Manner::Whole, repeated(&tenant)),
            Kind::Batch => {
                let name = (format!("load-{}", load.seed), format!("line-{number}"));
                let line = line_record(&tenant, name, "mock", &unique);
                let bus = bus.clone();
                clients.spawn(async move {
                    // While the brokers are away the line is simply not submitted; nothing was promised yet.
                    let _ = bus?.publish(vec![line], Vec::new()).await;
                    None
                });
                continue;
            }
        };
        let http = http.clone();
        clients.spawn(async move { Some(ask(&http, &base, &tenant, &prompt, manner, None).await) });
    }
    clients.join_all().await.into_iter().flatten().collect()
}

fn repeated(tenant: &str) -> String {
    format!("the question that {tenant} always asks")
}

/// Asks once what a load asks again and again, so that the answers can be in the cache when it starts.
pub async fn ask_what_is_repeated(base: &str) -> Vec<Observation> {
    let http = crate::http::client();
    let once = |tenant: u64| {
        let (http, tenant) = (&http, format!("tenant-{tenant}"));
        async move { ask(http, base, &tenant, &repeated(&tenant), Manner::Whole, None).await }
    };
    futures::future::join_all((0..TENANTS).map(once)).await
}

/// Puts `count` batch lines of all tenants into the log at once, with one that only a planner can end, because its model does
/// not exist, and one record that only a scheduler can end: poison among what is ready.
/// On the embedded column this is the only way in for batch, and only while the gateway does not run.
///
/// # Errors
/// If the log does not take them.
pub async fn seed_batch(bus: &dyn Bus, seed: u64, count: u64) -> anyhow::Result<()> {
    let line = |number| {
        let prompt = unique_prompt(seed * 1_000_000 + 900_000 + number);
        let tenant = format!("tenant-{}", number % TENANTS);
        let name = (format!("batch-{seed}"), format!("line-{number}"));
        line_record(&tenant, name, "mock", &prompt)
    };
    bus.publish((0..count).map(line).collect(), Vec::new()).await?;
    let unknown = line_record(
        "tenant-0",
        (format!("batch-{seed}"), "of-no-model".to_owned()),
        "no-such-model",
        "hello",
    );
    bus.publish(vec![unknown], Vec::new()).await?;
    let poison = Outgoing::keyed(topics::ready("default"), "poison", Headers::default(), "no Avro");
    bus.publish(vec![poison], Vec::new()).await?;
    Ok(())
}

fn line_record(tenant: &str, (batch_id, custom_id): (String, String), model: &str, prompt: &str) -> Outgoing {
    let body = json!({"model": model, "temperature": 0, "messages": [{"role": "user", "content": prompt}]});
    let line = BatchRequest {
        batch_id: batch_id.clone(),
        custom_id,
        tenant: TenantId::from(tenant),
        operation: Operation::Chat,
        body: body.to_string(),
        deadline: None,
    };
    Outgoing::keyed(
        topics::BATCH_REQUESTS,
        format!("{tenant}/{batch_id}"),
        Headers::default(),
        encode(&line),
    )
}
