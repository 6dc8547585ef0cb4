//! What the tests of several modules share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use relay_bus::topics::Manifest;
use relay_bus::{
    Bus, BusError, Commit, Consumer, OffsetRange, Outgoing, Partition, Position, Reader, StartAt,
};
use relay_runner::Runtime;
use relay_schemas::{Class, Request, RequestId, TenantId, TimestampMs, TokenCount};

use crate::policy::Policy;

/// The sample policy, as shipped.
pub(crate) fn sample() -> Policy {
    Policy::parse(include_str!("../../deploy/policy.yaml")).expect("the sample policy is valid")
}

/// A plain request for `relay-chat` with this canonical JSON.
pub(crate) fn request_with(canonical: &str) -> Request {
    Request {
        request_id: RequestId::new("request-1"),
        tenant: TenantId::new("acme"),
        class: Class::Interactive,
        model: "relay-chat".to_owned(),
        operation: relay_schemas::Operation::Chat,
        body: canonical.to_owned(),
        request_hash: "a".repeat(64),
        stream: true,
        include_usage: false,
        prompt_tokens: TokenCount(12),
        requested_tokens: None,
        temperature: None,
        accepted_at: TimestampMs(1_000_000),
        deadline: TimestampMs(2_000_000),
        reply_to: Some("relay.reply.ingress-1.request-1".to_owned()),
        idempotency_key: None,
        batch: None,
    }
}

/// A log that knows some topics and keeps what is published; it can be taken away.
#[derive(Default)]
pub(crate) struct FakeBus {
    pub(crate) topics: Vec<String>,
    pub(crate) away: AtomicBool,
    pub(crate) published: Mutex<Vec<Outgoing>>,
}

#[async_trait]
impl Bus for FakeBus {
    async fn publish(
        &self,
        records: Vec<Outgoing>,
        _commits: Vec<Commit>,
    ) -> Result<Vec<Position>, BusError> {
        self.probe().await?;
        self.published.lock().extend(records);
        Ok(Vec::new())
    }

    async fn subscribe(&self, _group: &str, _topics: &[String]) -> Result<Box<dyn Consumer>, BusError> {
        Err(BusError::Fatal("not part of this test".to_owned()))
    }

    async fn read(&self, _from: Vec<(Partition, StartAt)>) -> Result<Box<dyn Reader>, BusError> {
        Err(BusError::Fatal("not part of this test".to_owned()))
    }

    async fn partitions(&self, topic: &str) -> Result<i32, BusError> {
        self.probe().await?;
        if self.topics.iter().any(|known| known == topic) {
            return Ok(1);
        }
        Err(BusError::UnknownTopic(topic.to_owned()))
    }

    async fn range(&self, _partition: &Partition) -> Result<OffsetRange, BusError> {
        Ok(OffsetRange { low: 0, high: 0 })
    }

    async fn committed(&self, _group: &str, _partition: &Partition) -> Result<Option<i64>, BusError> {
        Ok(None)
    }

    async fn apply(&self, _manifest: &Manifest) -> Result<Vec<String>, BusError> {
        Ok(Vec::new())
    }

    async fn probe(&self) -> Result<(), BusError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(BusError::Unavailable("taken away".to_owned()));
        }
        Ok(())
    }
}

/// The shared parts of a process on `bus`.
pub(crate) fn runtime(bus: Arc<FakeBus>) -> Runtime {
    Runtime::new(bus)
}
