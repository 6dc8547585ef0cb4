//! The control seam as one process of the simulation sees it: what goes over it leaves a line.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use relay_control::{Control, ControlError, Delivery, Message, Subscription};
use relay_schemas::{Payload, Registry};

use super::log::Caller;

/// See the module.
pub(crate) struct TracedControl {
    inner: Arc<dyn Control>,
    caller: Caller,
}

impl TracedControl {
    pub fn new(inner: Arc<dyn Control>, caller: Caller) -> Self {
        Self { inner, caller }
    }
}

#[async_trait]
impl Control for TracedControl {
    async fn send(&self, subject: &str, payload: Payload) -> Result<(), ControlError> {
        let checksum = checksum(&payload);
        let result = self.inner.send(subject, payload).await;
        self.caller.line(format_args!(
            "sends {subject} #{checksum:08x}{}",
            in_vain(result.as_ref().err())
        ));
        result
    }

    async fn subscribe(
        &self,
        subject: &str,
        queue_group: Option<&str>,
    ) -> Result<Box<dyn Subscription>, ControlError> {
        let inner = self.inner.subscribe(subject, queue_group).await?;
        Ok(Box::new(TracedSubscription {
            inner,
            caller: self.caller.clone(),
            subject: subject.to_owned(),
        }))
    }

    async fn request(
        &self,
        subject: &str,
        payload: Payload,
        timeout: Duration,
    ) -> Result<Payload, ControlError> {
        let checksum = checksum(&payload);
        let result = self.inner.request(subject, payload, timeout).await;
        self.caller.line(format_args!(
            "asked {subject} #{checksum:08x}{}",
            in_vain(result.as_ref().err())
        ));
        result
    }

    fn schemas(&self) -> Arc<Registry> {
        self.inner.schemas()
    }

    fn max_payload(&self) -> usize {
        self.inner.max_payload()
    }

    async fn probe(&self) -> Result<(), ControlError> {
        self.inner.probe().await
    }
}

struct TracedSubscription {
    inner: Box<dyn Subscription>,
    caller: Caller,
    subject: String,
}

#[async_trait]
impl Subscription for TracedSubscription {
    async fn next(&mut self) -> Option<Delivery<Message>> {
        let delivery = self.inner.next().await;
        let caller = &self.caller;
        match &delivery {
            Some(Delivery::Message(message)) => caller.line(format_args!(
                "hears {} #{:08x}",
                message.subject,
                checksum(&message.payload)
            )),
            Some(Delivery::Lost) => caller.line(format_args!("missed some of {}", self.subject)),
            None => {}
        }
        delivery
    }
}

fn checksum(payload: &Payload) -> u32 {
    crc32fast::hash(payload)
}

fn in_vain(error: Option<&ControlError>) -> String {
    error.map_or_else(String::new, |error| format!(" in vain: {error}"))
}
