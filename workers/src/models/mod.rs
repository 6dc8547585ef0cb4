//! `models.yaml`: which models there are, where they run and what they cost.
//!
//! Every mistake is named with file, line and key, because this file is written by hand.

mod file;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use relay_schemas::Secret;
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
#[derive(Debug, Clone)]
pub struct RemoteSpec {
    /// Up to and without `/chat/completions`; may hold `user:password@`.
    pub base_url: Secret,
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;

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
        assert_eq!(remote.base_url.expose(), "http://127.0.0.1:1/v1");
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
