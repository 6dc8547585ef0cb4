//! `models.yaml`: which models there are, where they run and what they cost.
//!
//! Every mistake is named with file, line and key, because this file is written by hand.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

/// Everything the file says, checked.
#[derive(Debug, Clone)]
pub struct Models {
    /// By name, as requests ask for them.
    pub models: BTreeMap<String, Model>,
    /// Overrides the configured slots a lane.
    pub slots: Slots,
}

/// Requests held at once, by lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Slots {
    /// Of the short lane.
    pub short: Option<u32>,
    /// Of the long lane.
    pub long: Option<u32>,
}

/// One model.
#[derive(Debug, Clone)]
pub struct Model {
    /// What a run costs.
    pub price: Price,
    /// What runs it.
    pub backend: BackendSpec,
}

/// What runs a model.
#[derive(Debug, Clone)]
pub enum BackendSpec {
    /// ONNX Runtime, here.
    Onnx(OnnxSpec),
    /// An OpenAI-compatible endpoint.
    Remote(RemoteSpec),
}

/// Prices, each in micro-USD per million: of prompt tokens, of completion tokens, of milliseconds computed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Price {
    /// Per million prompt tokens.
    pub prompt: u64,
    /// Per million completion tokens.
    pub completion: u64,
    /// Per million milliseconds computed.
    pub compute_ms: u64,
}

/// A local model: a folder in Hugging Face's layout.
#[derive(Debug, Clone)]
pub struct OnnxSpec {
    /// The folder; relative to the models file.
    pub path: PathBuf,
    /// Which graph, where the folder holds several.
    pub graph: GraphKind,
    /// Which precision: the suffix of the graph's file name (`fp16` for `model_fp16.onnx`).
    pub precision: Option<String>,
    /// Where it runs; without it, where the configuration says.
    pub execution_provider: Option<Device>,
    /// Threads within one operator; 0 takes one a core.
    pub threads: usize,
    /// Most prompt tokens in one step, so that a long prompt does not hold the others up.
    pub prefill_chunk: usize,
    /// Most sequences in turn; more wait.
    pub max_sequences: usize,
    /// Most tokens of prompt and answer together; without it, what the model's own configuration says.
    pub max_context: Option<usize>,
}

/// How a graph keeps its attention cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GraphKind {
    /// Whatever is there; a GQA graph before a plain one.
    #[default]
    Auto,
    /// `GroupQueryAttention`, rotary positions inside: no `position_ids` input.
    Gqa,
    /// Attention spelt out: cache concatenated, `position_ids` as input.
    Plain,
}

/// An execution provider of ONNX Runtime.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "ONNX Runtime's own names")]
pub enum Device {
    #[default]
    Cpu,
    Cuda,
    Tensorrt,
    Coreml,
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            "tensorrt" => Ok(Self::Tensorrt),
            "coreml" => Ok(Self::Coreml),
            _ => Err(format!("{text}: use cpu, cuda, tensorrt or coreml")),
        }
    }
}

/// An OpenAI-compatible endpoint.
#[derive(Clone)]
pub struct RemoteSpec {
    /// Up to and without `/chat/completions`.
    pub base_url: String,
    /// The environment variable that holds the key; none for endpoints without one.
    pub api_key_env: Option<String>,
    /// What the endpoint calls the model.
    pub upstream_model: String,
    /// Waiting for a connection.
    pub connect_timeout: Duration,
    /// Waiting for the first bytes of an answer.
    pub first_byte_timeout: Duration,
    /// Waiting for the next bytes.
    pub idle_timeout: Duration,
    /// Requests in flight at once; more wait.
    pub max_concurrent: usize,
    /// Tries after the first, before the first token only.
    pub retries: u32,
    /// Largest answer, bytes on the wire.
    pub max_body_bytes: usize,
}

impl fmt::Debug for RemoteSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A base URL may hold credentials; nothing else here is secret.
        f.debug_struct("RemoteSpec")
            .field("upstream_model", &self.upstream_model)
            .finish_non_exhaustive()
    }
}

/// Why a models file is not used.
#[derive(Debug, thiserror::Error)]
pub enum ModelsError {
    /// It cannot be read.
    #[error("{path}: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says.
        reason: String,
    },
    /// It is not what it should be.
    #[error("{path}:{line}: {key}: {reason}")]
    Wrong {
        /// The file.
        path: String,
        /// From 1.
        line: usize,
        /// The key, with those above it.
        key: String,
        /// What is wrong.
        reason: String,
    },
}

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
    base_url: Option<String>,
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
        let url = reqwest::Url::parse(&base_url).map_err(|error| ("base_url", error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(("base_url", "is not an http or https address".to_owned()));
        }
        let ms = Duration::from_millis;
        Ok(RemoteSpec {
            base_url: base_url.trim_end_matches('/').to_owned(),
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn parse(text: &str) -> Result<Models, String> {
        Models::parse(text, Path::new("dir/models.yaml")).map_err(|error| error.to_string())
    }

    #[test]
    fn both_backends_are_read_and_folders_are_relative_to_the_file() {
        let models = parse(
            "slots: {short: 3}\nmodels:\n  a: {backend: onnx, path: a, graph: gqa}\n  b:\n    backend: openai\n    \
             base_url: http://127.0.0.1:1/v1/\n    upstream_model: x\n    price: {prompt: 5}\n",
        )
        .unwrap();
        assert_eq!(
            models.slots,
            Slots {
                short: Some(3),
                long: None
            }
        );
        let BackendSpec::Onnx(onnx) = &models.models["a"].backend else {
            panic!("a is local")
        };
        assert_eq!(
            (onnx.path.as_path(), onnx.graph),
            (Path::new("dir/a"), GraphKind::Gqa)
        );
        let BackendSpec::Remote(remote) = &models.models["b"].backend else {
            panic!("b is remote")
        };
        assert_eq!(remote.base_url, "http://127.0.0.1:1/v1");
        assert_eq!(models.models["b"].price.prompt, 5);
    }

    #[test]
    fn mistakes_are_named_with_file_line_and_key() {
        let cases = [
            (
                "models:\n  a:\n    backend: onnx\n",
                "dir/models.yaml:2: models.a.path: is missing",
            ),
            (
                "models:\n  a:\n    backend: onnx\n    path: a\n    retries: 3\n",
                "dir/models.yaml:5: models.a.retries: does not belong to this backend",
            ),
            (
                "models:\n  b:\n    backend: openai\n    base_url: ftp://x/\n    upstream_model: x\n",
                "dir/models.yaml:4: models.b.base_url: is not an http or https address",
            ),
            ("models: {}\n", "dir/models.yaml:1: models: declares no model"),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).unwrap_err(), expected);
        }
        let error = parse("models:\n  a:\n    backend: onnx\n    path: a\n    threads: many\n").unwrap_err();
        assert!(
            error.starts_with("dir/models.yaml:5: models.a.threads: "),
            "{error}"
        );
        let error = parse("models:\n  a:\n    backend: onnx\n    pth: a\n").unwrap_err();
        assert!(
            error.starts_with("dir/models.yaml:4: models.a: unknown field `pth`"),
            "{error}"
        );
    }
}
