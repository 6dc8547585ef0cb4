//! A file's shape with one of everything.

use std::collections::BTreeMap;
use std::time::Duration;

use relay_settings::{ByteSize, Document, Mistake};
use serde::Deserialize;

#[derive(Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    pub name: String,
    pub title: Option<String>,
    pub port: u16,
    pub count: u64,
    pub ratio: f64,
    pub on: bool,
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
    pub max_body: ByteSize,
    pub level: Level,
    pub pools: Vec<String>,
    pub weights: BTreeMap<String, u32>,
    pub retry: Retry,
    pub bus: Bus,
}

impl Default for File {
    fn default() -> Self {
        Self {
            name: "unnamed".to_owned(),
            title: None,
            port: 80,
            count: 1,
            ratio: 0.5,
            on: false,
            grace: Duration::from_secs(20),
            max_body: ByteSize::mib(1),
            level: Level::Info,
            pools: Vec::new(),
            weights: BTreeMap::new(),
            retry: Retry::default(),
            bus: Bus::Embedded,
        }
    }
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Info,
    Warning,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    #[serde(with = "humantime_serde")]
    pub base: Duration,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename = "kind", rename_all = "lowercase")]
pub enum Bus {
    Embedded,
    Kafka(Kafka),
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kafka {
    pub brokers: String,
    #[serde(default)]
    pub in_flight: u16,
}

/// What the variables of the tests hold.
pub fn var(name: &str) -> Option<String> {
    let value = match name {
        "PORT" => "8080",
        "WORD" => "hunter2",
        "HASH" => "a #b",
        "COLON" => "a: b",
        "TAB" => "C:\\temp\\new",
        "NULL" => "null",
        "QUOTES" => "it's \"so\"",
        "DIGITS" => "421337",
        "EMPTY" => "",
        _ => return None,
    };
    Some(value.to_owned())
}

#[allow(dead_code, reason = "not every test reads a single file")]
pub fn read(text: &str) -> Result<File, Mistake> {
    let file: Option<File> = Document::parse(text)?.expanded(var)?.read()?;
    Ok(file.unwrap_or_default())
}
