//! `models.yaml`: which models there are, where they run and what they cost.
//!
//! Every mistake is named with file, line, column and key, because this file is written by hand.

mod defaults;
mod fields;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use relay_schemas::Secret;
use relay_settings::{ByteSize, FileError, Reading};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

pub use self::fields::{LimitField, OmittedField};
use crate::proxies::{self, Proxy};

/// Keys that have another name now.
const MOVED: &[(&str, &str)] = &[("models.*.chat_limit", "limit_field")];

/// Everything the file says.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Models {
    /// By name, as requests ask for them.
    #[serde(deserialize_with = "some_models")]
    pub models: BTreeMap<String, BackendSpec>,
    /// Overrides the configured slots a lane.
    #[serde(default)]
    pub slots: Slots,
}

impl Models {
    /// Reads the file, with its variables taken from the environment.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        Self::parse(&relay_settings::read_text(path)?, path)
    }

    /// Reads `text`, which is what `path` holds.
    pub fn parse(text: &str, path: &Path) -> Result<Self, FileError> {
        let read = Self::read(text, path).sound();
        read.map_err(|mistake| FileError::wrong(path, mistake))
    }

    /// What `text`, which is what `path` holds, says, as far as it can be used, and all that is wrong with it.
    pub fn read(text: &str, path: &Path) -> Reading<Self> {
        let mut reading: Reading<Self> =
            relay_settings::read_all_expanded(text, |name| std::env::var(name).ok(), MOVED);
        if let Some(models) = &mut reading.value {
            models.place(path);
        }
        reading
    }

    /// What it names is relative to the file.
    fn place(&mut self, path: &Path) {
        let folder = path.parent().unwrap_or(Path::new("."));
        for spec in self.models.values_mut() {
            match spec {
                BackendSpec::Onnx(spec) => spec.path = folder.join(&spec.path),
                BackendSpec::Remote(spec) => {
                    spec.root_certificates = spec.root_certificates.take().map(|file| folder.join(file));
                }
            }
        }
    }
}

fn some_models<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, BackendSpec>, D::Error> {
    let models = BTreeMap::deserialize(from)?;
    if models.is_empty() {
        return Err(D::Error::custom("declares no model"));
    }
    Ok(models)
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

/// What runs a model: told by its key `backend`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename = "backend")]
pub enum BackendSpec {
    /// ONNX Runtime, here.
    #[serde(rename = "onnx")]
    Onnx(OnnxSpec),
    /// An OpenAI-compatible endpoint.
    #[serde(rename = "openai")]
    Remote(RemoteSpec),
}

impl BackendSpec {
    /// Requests that it turns at once; more would wait.
    pub fn turns(&self) -> u32 {
        let turns = match self {
            Self::Onnx(spec) => spec.max_sequences,
            Self::Remote(spec) => spec.max_concurrent,
        };
        u32::try_from(turns).unwrap_or(u32::MAX)
    }

    /// What a run costs.
    pub fn price(&self) -> Price {
        match self {
            Self::Onnx(spec) => spec.price,
            Self::Remote(spec) => spec.price,
        }
    }
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
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnnxSpec {
    /// What a run costs.
    #[serde(default)]
    pub price: Price,
    /// The folder; relative to the models file.
    pub path: PathBuf,
    /// Which graph, where the folder holds several.
    #[serde(default)]
    pub graph: GraphKind,
    /// Which precision: the suffix of the graph's file name (`fp16` for `model_fp16.onnx`).
    pub precision: Option<String>,
    /// Where it runs; without it, where the configuration says.
    pub execution_provider: Option<Device>,
    /// Threads within one operator; 0 takes one a core.
    #[serde(default)]
    pub threads: usize,
    /// Most prompt tokens in one step, so that a long prompt does not hold the others up.
    #[serde(default = "defaults::prefill_chunk", deserialize_with = "at_least_one")]
    pub prefill_chunk: usize,
    /// Most sequences in turn; more wait.
    #[serde(default = "defaults::max_sequences", deserialize_with = "at_least_one")]
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
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteSpec {
    /// What a run costs.
    #[serde(default)]
    pub price: Price,
    /// Up to and without `/chat/completions`; may hold `user:password@`.
    #[serde(deserialize_with = "http_url")]
    pub base_url: Secret,
    /// Certificate authorities in a PEM file, instead of the machine's; relative to the models file.
    pub root_certificates: Option<PathBuf>,
    /// The environment variable that holds the key; none for endpoints without one.
    pub api_key_env: Option<String>,
    /// What the endpoint calls the model.
    pub upstream_model: String,
    /// What it calls a limit of tokens. Without it `max_tokens`, which nearly every endpoint knows, and `max_completion_tokens` where a chat's
    /// client used that.
    pub limit_field: Option<LimitField>,
    /// Fields that it is never sent.
    #[serde(default)]
    pub omit: Vec<OmittedField>,
    /// Waiting for a connection.
    #[serde(default = "defaults::connect_timeout", with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// Waiting for the first bytes of a stream, and for vectors.
    #[serde(default = "defaults::first_byte_timeout", with = "humantime_serde")]
    pub first_byte_timeout: Duration,
    /// A text whose deadline is no further away, and that no client streams, is asked for in one piece: of that nothing comes before it
    /// is complete.
    #[serde(default = "defaults::answer_timeout", with = "humantime_serde")]
    pub answer_timeout: Duration,
    /// Waiting for the next bytes.
    #[serde(default = "defaults::idle_timeout", with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// Requests in flight at once; more wait.
    #[serde(default = "defaults::max_concurrent", deserialize_with = "at_least_one")]
    pub max_concurrent: usize,
    /// Tries after the first, before the first token only.
    #[serde(default = "defaults::retries")]
    pub retries: u32,
    /// Largest answer on the wire.
    #[serde(default = "defaults::max_body")]
    pub max_body: ByteSize,
    /// Texts are asked for as streams also where the client wants them in one piece, so that tokens count as they come.
    #[serde(default)]
    pub progress: bool,
}

impl RemoteSpec {
    /// Host and port of `base_url`, for whoever looks whether somebody listens there.
    pub fn address(&self) -> Option<(String, u16)> {
        proxies::address(&self.url().ok()?)
    }

    /// The proxy through which the environment has it asked, if there is one.
    ///
    /// # Errors
    /// In words, if what the environment names cannot be used.
    pub fn proxy(&self, environment: impl Fn(&str) -> Option<String>) -> Result<Option<Proxy>, String> {
        proxies::between(&self.url()?, environment)
    }

    /// `base_url`, read.
    pub(crate) fn url(&self) -> Result<reqwest::Url, String> {
        reqwest::Url::parse(self.base_url.expose()).map_err(|error| format!("base_url: {error}"))
    }
}

fn at_least_one<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    let number = usize::deserialize(from)?;
    if number == 0 {
        return Err(D::Error::custom("is 0; at least 1 is needed"));
    }
    Ok(number)
}

/// The address is a secret, so no refusal quotes it.
fn http_url<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
    let written = Secret::deserialize(from)?;
    let url = reqwest::Url::parse(written.expose()).map_err(D::Error::custom)?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(D::Error::custom("is not an http or https address"));
    }
    Ok(written.expose().trim_end_matches('/').into())
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
             base_url: http://127.0.0.1:1/v1/\n    upstream_model: x\n    root_certificates: ca.pem\n    price: {prompt: 5}\n",
        )
        .unwrap();
        assert_eq!(
            models.slots,
            Slots {
                short: Some(3),
                long: None
            }
        );
        let BackendSpec::Onnx(onnx) = &models.models["a"] else {
            panic!("a is local")
        };
        assert_eq!(
            (onnx.path.as_path(), onnx.graph),
            (Path::new("dir/a"), GraphKind::Gqa)
        );
        let BackendSpec::Remote(remote) = &models.models["b"] else {
            panic!("b is remote")
        };
        assert_eq!(remote.base_url.expose(), "http://127.0.0.1:1/v1");
        assert_eq!(remote.address(), Some(("127.0.0.1".to_owned(), 1)));
        assert_eq!(remote.root_certificates.as_deref(), Some(Path::new("dir/ca.pem")));
        assert_eq!(models.models["b"].price().prompt, 5);
    }

    #[test]
    fn mistakes_are_named_with_file_line_column_and_key() {
        let a = "models:\n  a:\n    backend: onnx\n    path: a\n";
        let b = "models:\n  b:\n    backend: openai\n    base_url: http://x/\n    upstream_model: x\n";
        let cases = [
            "models:\n  a:\n    backend: onnx\n".to_owned(),
            "models:\n  a:\n    path: a\n".to_owned(),
            "models:\n  a:\n    backend: onxx\n".to_owned(),
            format!("{a}    retries: 3\n"),
            format!("{a}    threads: many\n"),
            format!("{a}    pth: a\n"),
            format!("{a}    prefill_chunk: 0\n"),
            format!("{a}    graph: gpa\n"),
            b.replace("http:", "ftp:"),
            b.replace("http://x/", "http://x:port/"),
            b.replace("    upstream_model: x\n", ""),
            format!("{b}    idle_timeout_ms: 30000\n"),
            format!("{b}    max_body_bytes: 16777216\n"),
            format!("{b}    connect_timeout: 2\n"),
            format!("{b}    answer_timeout: 600\n"),
            format!("{b}    progress: often\n"),
            format!("{b}    price: {{promt: 3}}\n"),
            format!("{b}    chat_limit: max_completion_tokens\n").replace("  b:", "  gpt-4.1:"),
            format!("{b}    limit_field: max_token\n"),
            format!("{b}    limit_field: context\n"),
            format!("{b}    omit: [temperatur]\n"),
            format!("{b}    omit: [top_p, messages]\n"),
            format!("{b}    omit: [max_tokens]\n"),
            format!("{b}    omit: temperature\n"),
            format!("{b}slots: {{short: -1}}\n"),
            "models: {}\n".to_owned(),
            "models:\n".to_owned(),
            "slots: {}\n".to_owned(),
        ];
        let said = cases.map(|text| parse(&text).unwrap_err() + "\n").concat();
        insta::assert_snapshot!(said);
    }
}
