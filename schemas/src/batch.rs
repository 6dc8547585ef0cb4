//! Batch lines in and out, from and to any language. Field by field: the schemas.
#![expect(missing_docs, reason = "documented field by field in the schemas")]

use serde::{Deserialize, Serialize};

use crate::{Operation, RequestId, TenantId, TimestampMs};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchRequest {
    pub batch_id: String,
    pub custom_id: String,
    pub tenant: TenantId,
    pub operation: Operation,
    pub body: String,
    pub deadline: Option<TimestampMs>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchResult {
    pub tenant: TenantId,
    pub batch_id: String,
    pub custom_id: String,
    pub request_id: RequestId,
    pub status_code: u32,
    pub body: String,
    pub ended_at: TimestampMs,
}
