//! Every record on the bus and the control seam: its Avro schema, its Rust type, and the way between them.
//!
//! A leaf: it knows no service and does no I/O. `avsc/` documents each record field by field, `golden/` holds
//! samples of every version ever written, which a test reads for ever.

mod answer;
mod batch;
mod buffer;
mod catalogue;
mod codec;
mod control;
mod house;
mod outcome;
mod payload;
mod plan;
mod request;
#[cfg(feature = "samples")]
pub mod samples;
mod scheduler;
mod secret;
mod units;
mod work;

pub use answer::{Answer, Choice, Delta, Embedding, FinishReason, Message, ToolCall, ToolCallDelta};
pub use batch::{BatchRequest, BatchResult};
pub use codec::{Codec, DecodeError, Fingerprint, Record, Registry, decode, encode, hex};
pub use control::{
    BatchShare, Cancel, FenceAnswer, FenceQuery, Final, Frame, InFlight, KeyAnswer, KeyClaim, KeyQuery,
    ModelState, ModelStatus, PolicyStatus, PoolStatus, PublicModel, ReplayAnswer, ReplayQuery, Returned,
    Revoked, WinnerAnswer, WinnerQuery, WorkerStatus,
};
pub use house::{DeadHeader, DeadLetter, DeadLetterClosing, PolicyBody, SchemaBody};
pub use outcome::{Outcome, OutcomeStatus, Timings, Usage};
pub use payload::Payload;
pub use plan::{
    CacheFlags, Candidate, ConditionTrace, Decoding, HandOver, Plan, Planned, Planning, RuleTrace, Verifier,
};
pub use request::{BatchRef, Class, Operation, Request, Run, Service};
pub use scheduler::{
    FoldedOffset, LeaseEntry, ModelCounter, RequeuedPosition, SchedulerRecord, SchedulerRecordKind,
    SchedulerSnapshot, TenantCounter, WaitingPositions,
};
pub use secret::Secret;
pub use units::{InstanceId, MicroUsd, RequestId, TenantId, TimestampMs, TokenCount};
pub use work::{CacheStatus, Caching, Lane, Lease, Provenance, Queueing, Ready, Work};

/// Hands the type of every record to the macro `each`: the one list of them.
#[macro_export]
macro_rules! every_record {
    ($each:ident) => {
        $each! {
            BatchRequest,
            BatchResult,
            Cancel,
            DeadLetter,
            DeadLetterClosing,
            FenceAnswer,
            FenceQuery,
            Frame,
            KeyAnswer,
            KeyClaim,
            KeyQuery,
            Outcome,
            Planned,
            PolicyBody,
            PolicyStatus,
            PoolStatus,
            Ready,
            ReplayAnswer,
            ReplayQuery,
            Request,
            Revoked,
            SchedulerRecord,
            SchemaBody,
            WinnerAnswer,
            WinnerQuery,
            Work,
            WorkerStatus,
        }
    };
}

use codec::records;
every_record!(records);
