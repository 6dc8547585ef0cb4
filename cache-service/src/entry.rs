//! One cached answer, with where it came from and whom it belongs to.

use std::sync::Arc;

use relay_lifecycle::cache_key;
use relay_schemas::{Answer, Choice, Plan, Provenance, Request, TenantId, TimestampMs, ToolCall, Usage};
use serde::{Deserialize, Serialize};

/// Version of the entries that this build writes and reads; another version is a miss.
const VERSION: u32 = 2;

/// A cached answer. Tenant, request hash and signature stand in it once more, so that whatever mixes keys up (a colliding hash,
/// a restored backup, a shared Redis) can never hand an answer to somebody else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    version: u32,
    /// Whose it is.
    pub owner: Owner,
    pub(crate) answer: Arc<Answer>,
    pub(crate) usage: Usage,
    /// `level` is empty here; a lookup says which level answered.
    pub(crate) provenance: Provenance,
    /// When the answer was produced: its age counts from here.
    pub(crate) produced_at: TimestampMs,
    /// How long it may answer, milliseconds.
    pub(crate) ttl_ms: i64,
}

/// Whose answer to what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    pub(crate) tenant: TenantId,
    pub(crate) request_hash: String,
    pub(crate) signature: String,
}

impl Owner {
    /// Who asks for what.
    pub fn of(request: &Request, plan: &Plan) -> Self {
        Self {
            tenant: request.tenant.clone(),
            request_hash: request.request_hash.clone(),
            signature: plan.signature.clone(),
        }
    }

    /// The key of its entry.
    pub fn key(&self) -> String {
        cache_key(&self.tenant, &self.request_hash, &self.signature)
    }
}

/// Why an entry that was found does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// It belongs to another tenant, request or plan.
    Foreign,
    /// It is too old, by its own measure or by the asking plan's.
    Stale,
}

impl Entry {
    pub(crate) fn new(
        owner: Owner,
        answer: Arc<Answer>,
        usage: Usage,
        provenance: Provenance,
        life: (TimestampMs, i64),
    ) -> Self {
        Self {
            version: VERSION,
            owner,
            answer,
            usage,
            provenance,
            produced_at: life.0,
            ttl_ms: life.1,
        }
    }

    /// Whether it may answer `owner`, whose plan allows answers up to `ttl_ms` old.
    ///
    /// # Errors
    /// Why it may not.
    pub fn fits(&self, owner: &Owner, ttl_ms: i64, now: TimestampMs) -> Result<(), Unfit> {
        if self.owner != *owner {
            return Err(Unfit::Foreign);
        }
        if now.since_ms(self.produced_at) >= self.ttl_ms.min(ttl_ms) {
            return Err(Unfit::Stale);
        }
        Ok(())
    }

    /// Milliseconds that are left of its own life.
    pub fn left_ms(&self, now: TimestampMs) -> u64 {
        let left = self.produced_at.plus_ms(self.ttl_ms).since_ms(now);
        u64::try_from(left).unwrap_or(0)
    }

    /// As it lies in Redis.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an entry holds nothing that JSON cannot say")
    }

    /// `None` for whatever is no entry of this version.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes)
            .ok()
            .filter(|entry: &Self| entry.version == VERSION)
    }

    /// Roughly what it takes in memory.
    pub(crate) fn weight(&self) -> usize {
        let texts = [
            self.owner.tenant.as_str(),
            &self.owner.request_hash,
            &self.owner.signature,
            &self.answer.model,
            &self.answer.model_version,
            self.provenance.source_request_id.as_str(),
            &self.provenance.source_topic,
            &self.provenance.policy_version,
            &self.provenance.model,
            &self.provenance.model_version,
        ];
        let texts: usize = texts.iter().map(|text| text.len()).sum();
        let answer = [&self.answer.usage_details, &self.answer.extra];
        let answer: usize = answer.into_iter().flatten().map(String::len).sum();
        let choices: usize = self.answer.choices.iter().map(of_choice).sum();
        let vectors = self.answer.embeddings.iter();
        let vectors: usize = vectors
            .map(|vector| size_of_val(vector) + size_of_val(&*vector.values))
            .sum();
        size_of::<Self>() + choices + vectors + texts + answer
    }
}

fn of_choice(choice: &Choice) -> usize {
    let message = &choice.message;
    let texts = [
        &message.text,
        &message.reasoning,
        &message.refusal,
        &message.extra,
        &choice.extra,
    ];
    let texts: usize = texts.into_iter().flatten().map(String::len).sum();
    let entries = message.logprobs.iter().chain(&message.refusal_logprobs);
    let entries: usize = entries.map(|entry| size_of::<String>() + entry.len()).sum();
    let calls: usize = message.tool_calls.iter().map(of_call).sum();
    size_of::<Choice>() + texts + entries + calls
}

fn of_call(call: &ToolCall) -> usize {
    let named = [&call.id, &call.kind, &call.name, &call.arguments];
    let named: usize = named.into_iter().map(String::len).sum();
    size_of::<ToolCall>() + named + call.extra.as_ref().map_or(0, String::len)
}
