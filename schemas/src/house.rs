//! Records the house keeps about itself: dead letters, policies, schemas. Field by field: the schemas.
#![expect(missing_docs, reason = "documented field by field in the schemas")]

use serde::{Deserialize, Serialize};

use crate::TimestampMs;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadHeader {
    pub name: String,
    #[serde(with = "apache_avro::serde::bytes")]
    pub value: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    pub source_topic: String,
    pub source_partition: i32,
    pub source_offset: i64,
    pub group: String,
    pub class: String,
    pub reason: String,
    pub attempts: u32,
    pub headers: Vec<DeadHeader>,
    #[serde(with = "apache_avro::serde::bytes_opt")]
    pub key: Option<Vec<u8>>,
    #[serde(with = "apache_avro::serde::bytes_opt")]
    pub value: Option<Vec<u8>>,
    pub at: TimestampMs,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterClosing {
    pub offset: i64,
    pub how: String,
    pub resent_partition: Option<i32>,
    pub resent_offset: Option<i64>,
    pub by: String,
    pub at: TimestampMs,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyBody {
    pub version: String,
    pub body: String,
    pub loaded_at: TimestampMs,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaBody {
    pub fingerprint: String,
    pub schema: String,
}
