//! A batch line in the schema of another version, which no process knows: a dead letter, until the schema is told.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use relay_bus::{Bus, Headers, Outgoing, topics};
use relay_schemas::{
    BatchRequest, Codec, Fingerprint, Operation, Record as _, SchemaBody, TenantId, encode, hex,
};
use serde_json::{Value, json};

use crate::gateway::Gateway;

/// Bytes before the body: `C3 01` and the fingerprint.
const HEAD: usize = 10;
/// Longer than anything here takes; reached only by a failing test.
const PATIENCE: Duration = Duration::from_secs(90);

/// The schema of a version that has one field more.
pub struct NextLine {
    schema: String,
    fingerprint: Fingerprint,
}

impl Default for NextLine {
    fn default() -> Self {
        let mut schema: Value = serde_json::from_str(BatchRequest::codec().json()).expect("a schema is JSON");
        let fields = schema["fields"].as_array_mut().expect("a record has fields");
        fields.push(json!({"name": "note", "type": "string"}));
        let schema = schema.to_string();
        let fingerprint = Codec::of(schema.clone()).fingerprint();
        Self { schema, fingerprint }
    }
}

impl NextLine {
    /// A line by that version. No header names it, so that its sender is told of nothing that cannot be read.
    pub fn line(&self, batch_id: &str, prompt: &str) -> Outgoing {
        let body =
            json!({"model": "mock", "temperature": 0, "messages": [{"role": "user", "content": prompt}]});
        let line = BatchRequest {
            batch_id: batch_id.to_owned(),
            custom_id: "late".to_owned(),
            tenant: TenantId::from("acme"),
            operation: Operation::Chat,
            body: body.to_string(),
            deadline: None,
        };
        let mut value = BytesMut::new();
        value.put_slice(&[0xC3, 0x01]);
        value.put_slice(&self.fingerprint);
        value.put_slice(&encode(&line)[HEAD..]);
        // Its note: one byte long.
        value.put_slice(&[2, b'n']);
        let key = format!("acme/{batch_id}");
        Outgoing::keyed(topics::BATCH_REQUESTS, key, Headers::default(), value.freeze())
    }

    /// Tells every process how to read it.
    pub async fn tell(&self, bus: &dyn Bus) -> anyhow::Result<()> {
        let body = SchemaBody {
            fingerprint: hex(self.fingerprint),
            schema: self.schema.clone(),
        };
        let told = Outgoing::keyed(
            topics::SCHEMAS,
            body.fingerprint.clone(),
            Headers::default(),
            encode(&body),
        );
        bus.publish(vec![told], Vec::new()).await?;
        Ok(())
    }
}

/// A record that no service can read.
pub fn nonsense(topic: &str) -> Outgoing {
    Outgoing::keyed(
        topic,
        "key",
        Headers::default(),
        Bytes::from_static(b"a tenant's words, not Avro"),
    )
}

/// Runs a command beside the gateway; what it printed, and whether it succeeded.
pub fn beside(gateway: &Gateway, words: &[&str]) -> anyhow::Result<(bool, String)> {
    let output = gateway.command(words)?;
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    Ok((output.status.success(), said.concat()))
}

/// The JSON lines of a command that succeeds.
pub fn items(gateway: &Gateway, words: &[&str]) -> anyhow::Result<Vec<Value>> {
    let output = gateway.command(words)?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "relay {}: {error}", words.join(" "));
    let text = String::from_utf8(output.stdout)?;
    let items = text.lines().map(serde_json::from_str).collect::<Result<_, _>>();
    items.with_context(|| format!("relay {} printed {text}", words.join(" ")))
}

/// Repeats a command until one of its items is so.
pub async fn until(gateway: &Gateway, words: &[&str], so: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = items(gateway, words)?;
        if let Some(item) = found.iter().find(|item| so(item)) {
            return Ok(item.clone());
        }
        ensure!(
            Instant::now() < deadline,
            "relay {} says {found:?}",
            words.join(" ")
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
