//! `relay topics`: make them, look at their offsets, read them.

use std::io::Write;

use anyhow::Context;
use relay_bus::topics::Manifest;
use relay_bus::{Bus, Partition, Record};
use relay_clock::Clock;
use relay_runner::{Stretch, refresh_schemas};
use relay_schemas::{Outcome, Planned, Ready, Registry, Request, Work};

use crate::cli::{ReadTopic, Topics};
use crate::config::Config;
use crate::seams::BusConfig;

/// Runs one of the commands.
pub async fn run(config: &Config, command: Topics) -> anyhow::Result<()> {
    let manifest = config.manifest()?;
    let bus = config.bus.open(&config.data, &manifest, &Clock::system())?;
    let done = on(&*bus, &manifest, command).await;
    match &config.bus {
        BusConfig::Embedded(_) => done,
        BusConfig::Kafka(kafka) => {
            done.with_context(|| format!("Kafka at {} (`bus.brokers`)", kafka.brokers))
        }
    }
}

async fn on(bus: &dyn Bus, manifest: &Manifest, command: Topics) -> anyhow::Result<()> {
    match command {
        Topics::Apply => {
            for line in bus.apply(manifest).await? {
                writeln!(std::io::stdout(), "{line}")?;
            }
        }
        Topics::Offsets => {
            for topic in manifest.expanded() {
                offsets(bus, &topic.name).await?;
            }
        }
        Topics::Read(read) => print(bus, &read).await?,
    }
    Ok(())
}

async fn offsets(bus: &dyn Bus, topic: &str) -> anyhow::Result<()> {
    for partition in 0..bus.partitions(topic).await? {
        let range = bus.range(&Partition::new(topic, partition)).await?;
        writeln!(
            std::io::stdout(),
            "{topic} {partition} {} {}",
            range.low,
            range.high
        )?;
    }
    Ok(())
}

async fn print(bus: &dyn Bus, read: &ReadTopic) -> anyhow::Result<()> {
    let registry = Registry::default();
    refresh_schemas(bus, &registry).await?;
    let mut out = std::io::stdout().lock();
    for partition in 0..bus.partitions(&read.topic).await? {
        let mut records = Stretch::whole(bus, Partition::new(&read.topic, partition)).await?;
        while let Some(record) = records.next().await? {
            writeln!(out, "{}", line(&record, &registry, read.content)).context("standard output")?;
        }
    }
    Ok(())
}

/// One record as a JSON line. Content is the tenants' and stays out unless it is asked for.
fn line(record: &Record, registry: &Registry, content: bool) -> serde_json::Value {
    let value = record.value.as_deref();
    let topic = record.position.partition.topic.as_str();
    macro_rules! body {
        ($type:ty) => {
            registry
                .decode::<$type>(value)
                .map_err(|error| error.to_string())
                .map(|body| serde_json::json!(body))
        };
    }
    let body = match topic {
        relay_bus::topics::REQUESTS => body!(Request),
        relay_bus::topics::PLANNED => body!(Planned),
        relay_bus::topics::OUTCOMES => body!(Outcome),
        relay_bus::topics::BATCH_REQUESTS => body!(relay_schemas::BatchRequest),
        relay_bus::topics::BATCH_RESULTS => body!(relay_schemas::BatchResult),
        relay_bus::topics::DEAD_LETTERS => body!(relay_schemas::DeadLetter),
        relay_bus::topics::POLICIES => body!(relay_schemas::PolicyBody),
        relay_bus::topics::SCHEMAS => body!(relay_schemas::SchemaBody),
        _ if topic.starts_with("relay.ready.") => body!(Ready),
        _ if topic.starts_with("relay.work.") => body!(Work),
        _ => Err("not decoded here".to_owned()),
    };
    let mut body = body.unwrap_or_else(|error| serde_json::json!({ "undecoded": error }));
    if !content {
        without_content(&mut body);
    }
    serde_json::json!({
        "partition": record.position.partition.partition,
        "offset": record.position.offset,
        "timestamp": record.timestamp,
        "key": record.key.as_deref().map(String::from_utf8_lossy),
        "body": body,
    })
}

fn without_content(body: &mut serde_json::Value) {
    const CONTENT: [&str; 12] = [
        "body",
        "stop",
        "text",
        "reasoning",
        "refusal",
        "tool_calls",
        "logprobs",
        "refusal_logprobs",
        "extra",
        "choice_extra",
        "values",
        "value",
    ];
    match body {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                if CONTENT.contains(&name.as_str()) && !value.is_null() {
                    *value = serde_json::Value::String("[left out; --content shows it]".to_owned());
                } else {
                    without_content(value);
                }
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(without_content),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use relay_bus::{Outgoing, Position, topics::OUTCOMES};
    use relay_schemas::{Choice, Embedding, FinishReason, Message, TimestampMs, ToolCall, encode, samples};

    use super::*;

    const CONTENT: &str = "a tenant's words";

    /// An outcome that says [`CONTENT`] wherever a tenant's or a model's words may stand.
    fn talkative() -> Outcome {
        let said = || Some(CONTENT.to_owned());
        let mut outcome = samples::outcome();
        if let Some(request) = &mut outcome.request {
            request.body = CONTENT.to_owned();
        }
        if let Some(planning) = &mut outcome.planning {
            planning.plan.decoding.stop = vec![CONTENT.to_owned()];
        }
        let call = ToolCall {
            id: CONTENT.to_owned(),
            kind: "function".to_owned(),
            name: CONTENT.to_owned(),
            arguments: CONTENT.to_owned(),
            extra: said(),
        };
        let message = Message {
            text: said(),
            reasoning: said(),
            refusal: said(),
            tool_calls: vec![call],
            logprobs: vec![CONTENT.to_owned()],
            refusal_logprobs: vec![CONTENT.to_owned()],
            extra: said(),
        };
        if let Some(answer) = &mut outcome.answer {
            answer.extra = said();
            answer.embeddings = vec![Embedding {
                index: 0,
                values: vec![0.123_456],
            }];
            answer.choices = vec![Choice {
                index: 0,
                message,
                finish_reason: Some(FinishReason::Stop),
                extra: said(),
            }];
        }
        outcome
    }

    #[test]
    fn content_is_left_out_unless_it_is_asked_for() {
        let outgoing = Outgoing::keyed(
            OUTCOMES,
            "key",
            relay_bus::Headers::default(),
            encode(&talkative()),
        );
        let record = Record {
            position: Position {
                partition: Partition::new(OUTCOMES, 0),
                offset: 7,
            },
            timestamp: TimestampMs(1),
            key: outgoing.key,
            headers: outgoing.headers,
            value: outgoing.value,
        };
        let shown = |content| line(&record, &Registry::default(), content).to_string();
        assert!(!shown(false).contains(CONTENT), "{}", shown(false));
        assert!(
            !shown(false).contains("0.12345"),
            "vectors can be turned back into text"
        );
        assert!(shown(false).contains("request-1") && shown(false).contains("completed"));
        assert_eq!(shown(true).matches(CONTENT).count(), 14);
    }
}
