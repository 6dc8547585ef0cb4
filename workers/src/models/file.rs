//! The file as it is written, read and checked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use relay_schemas::Secret;
use serde::Deserialize;

use super::{BackendSpec, Device, GraphKind, Model, Models, ModelsError, OnnxSpec, Price, RemoteSpec, Slots};

/// The file as it is written. Flat, because serde knows lines only where it need not buffer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    slots: Slots,
    models: BTreeMap<String, RawModel>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Onnx,
    Openai,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawModel {
    backend: Kind,
    #[serde(default)]
    price: Price,
    path: Option<PathBuf>,
    graph: Option<GraphKind>,
    precision: Option<String>,
    execution_provider: Option<Device>,
    threads: Option<usize>,
    prefill_chunk: Option<usize>,
    max_sequences: Option<usize>,
    max_context: Option<usize>,
    base_url: Option<Secret>,
    api_key_env: Option<String>,
    upstream_model: Option<String>,
    connect_timeout_ms: Option<u64>,
    first_byte_timeout_ms: Option<u64>,
    idle_timeout_ms: Option<u64>,
    max_concurrent: Option<usize>,
    retries: Option<u32>,
    max_body_bytes: Option<usize>,
}

/// A key and what is wrong with it.
type Complaint = (&'static str, String);

impl Models {
    /// Reads and checks the file.
    pub fn load(path: &Path) -> Result<Self, ModelsError> {
        let text = std::fs::read_to_string(path).map_err(|error| ModelsError::Unreadable {
            path: path.display().to_string(),
            reason: error.to_string(),
        })?;
        Self::parse(&text, path)
    }

    /// Checks `text`, which is what `path` holds.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ModelsError> {
        let wrong = |line, key: String, reason: String| ModelsError::Wrong {
            path: path.display().to_string(),
            line,
            key,
            reason,
        };
        let raw: Raw = serde_yaml_ng::from_str(text).map_err(|error| {
            let line = error.location().map_or(1, |location| location.line());
            let (key, reason) = split_key(&error.to_string());
            wrong(line, key, reason)
        })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut models = BTreeMap::new();
        for (name, model) in raw.models {
            let model = model.check(folder).map_err(|(key, reason)| {
                wrong(line_of(text, &name, key), format!("models.{name}.{key}"), reason)
            })?;
            models.insert(name, model);
        }
        if models.is_empty() {
            return Err(wrong(1, "models".to_owned(), "declares no model".to_owned()));
        }
        Ok(Self {
            models,
            slots: raw.slots,
        })
    }
}

/// serde writes `models.a.threads: invalid type …`; without a path the whole is the reason.
fn split_key(message: &str) -> (String, String) {
    match message.split_once(": ") {
        Some((key, reason)) if !key.contains(' ') => (key.to_owned(), reason.to_owned()),
        _ => ("models".to_owned(), message.to_owned()),
    }
}

/// The line of `key` under the model `name`; of the model where the key is missing or on the same line.
fn line_of(text: &str, name: &str, key: &str) -> usize {
    let starts = |line: &str, key: &str| {
        let line = line.trim_start().trim_start_matches(['"', '\'']);
        line.strip_prefix(key)
            .is_some_and(|rest| rest.trim_start_matches(['"', '\'']).trim_start().starts_with(':'))
    };
    let indent = |line: &str| line.len() - line.trim_start().len();
    let lines: Vec<&str> = text.lines().collect();
    let Some(model) = lines
        .iter()
        .position(|line| indent(line) > 0 && starts(line, name))
    else {
        return 1;
    };
    let inside = |line: &&&str| line.trim().is_empty() || indent(line) > indent(lines[model]);
    let block = lines[model + 1..].iter().take_while(inside);
    let found = block.enumerate().find(|(_, line)| starts(line, key));
    model + 1 + found.map_or(0, |(at, _)| at + 1)
}

impl RawModel {
    fn check(self, folder: &Path) -> Result<Model, Complaint> {
        let foreign: &[(&str, bool)] = match self.backend {
            Kind::Onnx => &[
                ("base_url", self.base_url.is_some()),
                ("api_key_env", self.api_key_env.is_some()),
                ("upstream_model", self.upstream_model.is_some()),
                ("connect_timeout_ms", self.connect_timeout_ms.is_some()),
                ("first_byte_timeout_ms", self.first_byte_timeout_ms.is_some()),
                ("idle_timeout_ms", self.idle_timeout_ms.is_some()),
                ("max_concurrent", self.max_concurrent.is_some()),
                ("retries", self.retries.is_some()),
                ("max_body_bytes", self.max_body_bytes.is_some()),
            ],
            Kind::Openai => &[
                ("path", self.path.is_some()),
                ("graph", self.graph.is_some()),
                ("precision", self.precision.is_some()),
                ("execution_provider", self.execution_provider.is_some()),
                ("threads", self.threads.is_some()),
                ("prefill_chunk", self.prefill_chunk.is_some()),
                ("max_sequences", self.max_sequences.is_some()),
                ("max_context", self.max_context.is_some()),
            ],
        };
        if let Some((key, _)) = foreign.iter().find(|(_, set)| *set) {
            return Err((key, "does not belong to this backend".to_owned()));
        }
        let price = self.price;
        let backend = match self.backend {
            Kind::Onnx => BackendSpec::Onnx(self.onnx(folder)?),
            Kind::Openai => BackendSpec::Remote(self.remote()?),
        };
        Ok(Model { price, backend })
    }

    fn onnx(self, folder: &Path) -> Result<OnnxSpec, Complaint> {
        let path = self.path.ok_or(("path", "is missing".to_owned()))?;
        Ok(OnnxSpec {
            path: folder.join(path),
            graph: self.graph.unwrap_or_default(),
            precision: self.precision,
            execution_provider: self.execution_provider,
            threads: self.threads.unwrap_or(0),
            prefill_chunk: at_least_one("prefill_chunk", self.prefill_chunk.unwrap_or(256))?,
            max_sequences: at_least_one("max_sequences", self.max_sequences.unwrap_or(16))?,
            max_context: self.max_context,
        })
    }

    fn remote(self) -> Result<RemoteSpec, Complaint> {
        let base_url = self.base_url.ok_or(("base_url", "is missing".to_owned()))?;
        let url = reqwest::Url::parse(base_url.expose()).map_err(|error| ("base_url", error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(("base_url", "is not an http or https address".to_owned()));
        }
        let ms = Duration::from_millis;
        Ok(RemoteSpec {
            base_url: base_url.expose().trim_end_matches('/').into(),
            api_key_env: self.api_key_env,
            upstream_model: self
                .upstream_model
                .ok_or(("upstream_model", "is missing".to_owned()))?,
            connect_timeout: ms(self.connect_timeout_ms.unwrap_or(2_000)),
            first_byte_timeout: ms(self.first_byte_timeout_ms.unwrap_or(60_000)),
            idle_timeout: ms(self.idle_timeout_ms.unwrap_or(30_000)),
            max_concurrent: at_least_one("max_concurrent", self.max_concurrent.unwrap_or(256))?,
            retries: self.retries.unwrap_or(2),
            max_body_bytes: at_least_one("max_body_bytes", self.max_body_bytes.unwrap_or(16 * 1_048_576))?,
        })
    }
}

fn at_least_one(key: &'static str, value: usize) -> Result<usize, Complaint> {
    if value == 0 {
        return Err((key, "is 0; at least 1 is needed".to_owned()));
    }
    Ok(value)
}
