//! The access line: one a request of an operation, when its response has ended, and one a batch line, when its result is in the log. It
//! holds nothing that was said, and no secret.

use std::time::Duration;

use relay_schemas::{BatchRef, Operation, RequestId, TenantId, Usage};

use crate::answers::end::Account;

/// What the line says.
#[derive(Debug, Default)]
pub struct Access {
    /// The id of the request, or of its refusal; none where the client went before there was one.
    pub id: Option<RequestId>,
    /// Which batch line it is.
    pub line: Option<BatchRef>,
    /// Who asked.
    pub tenant: Option<TenantId>,
    /// Stands for the key that was sent.
    pub key: Option<String>,
    /// What was asked for.
    pub operation: Option<Operation>,
    /// By its public name.
    pub model: Option<String>,
    /// Of the response's head; [`GONE`] where the client went before the end of its response.
    pub status: u16,
    /// Why it is no success.
    pub code: Option<String>,
    /// From arrival to the first byte of a stream.
    pub ttft: Option<Duration>,
    /// Tokens.
    pub usage: Usage,
    /// What the record of its end says.
    pub account: Option<Account>,
}

/// What a response is counted as whose client went before its end, as nginx has it.
pub const GONE: u16 = 499;

impl Access {
    /// Writes it.
    pub fn log(&self, latency: Duration) {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let line = self.line.as_ref();
        tracing::info!(
            target: "relay::access",
            id = self.id.as_ref().map(RequestId::as_str),
            batch = line.map(|line| line.batch_id.as_str()),
            line = line.map(|line| line.custom_id.as_str()),
            tenant = self.tenant.as_ref().map(TenantId::as_str),
            key = self.key.as_deref(),
            model = self.model.as_deref(),
            operation = self.operation.map(Operation::name),
            status = self.status,
            code = self.code.as_deref(),
            ttft_ms = self.ttft.map(milliseconds),
            latency_ms = milliseconds(latency),
            tokens_in = self.usage.prompt_tokens.0,
            tokens_out = self.usage.completion_tokens.0,
            cost_micro_usd = self.account.map(|account| account.cost_micro_usd),
            cache = self.account.map(|account| account.cache),
            attempts = self.account.map(|account| account.attempts),
            "answered"
        );
    }
}
