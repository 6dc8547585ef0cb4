//! A model's folder in Hugging Face's layout: which files there are, and their common version.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::models::{GraphKind, OnnxSpec};

/// Why a folder is not a model.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file is missing or unreadable.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// ONNX Runtime, or a graph that this engine cannot run.
    #[error("{0}")]
    Graph(String),
}

impl LoadError {
    pub(super) fn file(path: &Path, reason: impl std::fmt::Display) -> Self {
        Self::File {
            path: path.display().to_string(),
            reason: format!("{reason}"),
        }
    }
}

impl<T> From<ort::Error<T>> for LoadError {
    fn from(error: ort::Error<T>) -> Self {
        Self::Graph(format!("ONNX Runtime: {error}"))
    }
}

/// The parts of `config.json` and `generation_config.json` that matter here.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ModelConfig {
    /// One id, or several.
    pub eos_token_id: Option<TokenIds>,
    max_position_embeddings: Option<usize>,
    /// GPT-2's name for the same.
    n_positions: Option<usize>,
}

impl ModelConfig {
    /// Most tokens of prompt and answer together.
    pub fn context(&self) -> Option<usize> {
        self.max_position_embeddings.or(self.n_positions)
    }
}

/// `2` or `[2, 32007]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum TokenIds {
    /// One.
    One(u32),
    /// Several.
    Many(Vec<u32>),
}

impl TokenIds {
    /// As a slice.
    pub fn as_slice(&self) -> &[u32] {
        match self {
            Self::One(id) => std::slice::from_ref(id),
            Self::Many(ids) => ids,
        }
    }
}

/// Reads a JSON file of the folder; `None` where it does not exist.
pub fn read_json<T: serde::de::DeserializeOwned>(folder: &Path, name: &str) -> Result<Option<T>, LoadError> {
    let path = folder.join(name);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LoadError::file(&path, error)),
    };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|error| LoadError::file(&path, error))
}

/// The graph to run, and which kind it is.
///
/// Names only decide the order; what a graph is, its operators say.
pub fn choose_graph(spec: &OnnxSpec) -> Result<Graph, LoadError> {
    let mut found: Vec<PathBuf> = Vec::new();
    for folder in [spec.path.clone(), spec.path.join("onnx")] {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
        found.extend(paths.filter(|path| is_graph(path)));
    }
    let stem = |path: &PathBuf| {
        path.file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    found.retain(|path| match &spec.precision {
        Some(precision) => stem(path).ends_with(&format!("_{precision}")),
        None => !OTHER_PRECISIONS.iter().any(|other| stem(path).ends_with(other)),
    });
    // The graph that is simply called `model` first.
    found.sort_by_key(|path| (stem(path).len(), path.clone()));
    let mut graphs = Vec::new();
    for path in found {
        let bytes = std::fs::read(&path).map_err(|error| LoadError::file(&path, error))?;
        let kind = if holds(&bytes, GQA_OPERATOR) {
            GraphKind::Gqa
        } else {
            GraphKind::Plain
        };
        let graph = Graph { path, kind, bytes };
        if spec.graph == kind || (spec.graph == GraphKind::Auto && kind == GraphKind::Gqa) {
            return Ok(graph);
        }
        graphs.push(graph);
    }
    let any = graphs
        .into_iter()
        .next()
        .filter(|_| spec.graph == GraphKind::Auto);
    any.ok_or_else(|| {
        let kind = match spec.graph {
            GraphKind::Auto => "",
            GraphKind::Gqa => "GroupQueryAttention ",
            GraphKind::Plain => "plain ",
        };
        let precision = spec
            .precision
            .as_deref()
            .map(|name| format!(" of precision {name}"))
            .unwrap_or_default();
        LoadError::file(
            &spec.path,
            format!("no {kind}graph (.onnx){precision}, neither here nor in onnx/"),
        )
    })
}

/// A graph's file.
#[derive(Debug)]
pub struct Graph {
    /// Where it is.
    pub path: PathBuf,
    /// Never [`GraphKind::Auto`].
    pub kind: GraphKind,
    bytes: Vec<u8>,
}

/// As the operator's type is spelt in the file.
const GQA_OPERATOR: &[u8] = b"GroupQueryAttention";

/// Suffixes under which exporters put other precisions of the same model.
const OTHER_PRECISIONS: [&str; 8] = [
    "_fp16",
    "_int8",
    "_uint8",
    "_quantized",
    "_q4",
    "_q4f16",
    "_bnb4",
    "_bf16",
];

/// What says how text becomes tokens and back, and how the model is to be used.
const CONFIGURATION: [&str; 4] = ["json", "jinja", "txt", "model"];

fn is_graph(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "onnx")
}

fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// SHA-256 over names and contents of everything that makes `graph`'s answers: the graph, the data files it names, and the
/// configuration beside it; 64 lower-case hexadecimal digits. Other graphs of the folder change nothing.
pub fn version(folder: &Path, graph: &Graph) -> Result<String, LoadError> {
    let mut files = Vec::new();
    list(folder, &mut files)?;
    files.retain(|path| {
        let named = || {
            path.file_name()
                .is_some_and(|name| holds(&graph.bytes, name.as_encoded_bytes()))
        };
        let configures = path
            .extension()
            .is_some_and(|e| CONFIGURATION.iter().any(|known| e == *known));
        *path == graph.path || (!is_graph(path) && (configures || named()))
    });
    files.sort();
    let mut hash = Sha256::new();
    for path in &files {
        let name = path
            .strip_prefix(folder)
            .unwrap_or(path)
            .to_string_lossy()
            .into_owned();
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name.as_bytes());
        hash_file(path, &mut hash).map_err(|error| LoadError::file(path, error))?;
    }
    Ok(format!("{:x}", hash.finalize()))
}

fn hash_file(path: &Path, hash: &mut Sha256) -> std::io::Result<()> {
    let mut file = std::fs::File::open(path)?;
    hash.update(file.metadata()?.len().to_le_bytes());
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            read => hash.update(&buffer[..read]),
        }
    }
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), LoadError> {
    let entries = std::fs::read_dir(folder).map_err(|error| LoadError::file(folder, error))?;
    for entry in entries {
        let path = entry.map_err(|error| LoadError::file(folder, error))?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if path.is_dir() {
            list(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn spec(path: &Path, graph: GraphKind, precision: Option<&str>) -> OnnxSpec {
        OnnxSpec {
            price: crate::models::Price::default(),
            path: path.to_owned(),
            graph,
            precision: precision.map(str::to_owned),
            execution_provider: None,
            threads: 0,
            prefill_chunk: 1,
            max_sequences: 1,
            max_context: None,
        }
    }

    #[test]
    fn the_graph_is_found_at_the_root_and_in_the_subfolder_by_kind_and_precision() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("onnx")).unwrap();
        let write = |name: &str, content: &str| std::fs::write(folder.path().join(name), content).unwrap();
        write("onnx/model.onnx", "op GroupQueryAttention");
        write("onnx/model_plain.onnx", "op MatMul");
        write("onnx/model_fp16.onnx", "op MatMul");
        let chosen = |graph, precision| {
            let graph = choose_graph(&spec(folder.path(), graph, precision)).unwrap();
            (
                graph.path.file_name().unwrap().to_string_lossy().into_owned(),
                graph.kind,
            )
        };
        assert_eq!(
            chosen(GraphKind::Auto, None),
            ("model.onnx".to_owned(), GraphKind::Gqa)
        );
        assert_eq!(
            chosen(GraphKind::Plain, None),
            ("model_plain.onnx".to_owned(), GraphKind::Plain)
        );
        assert_eq!(
            chosen(GraphKind::Auto, Some("fp16")),
            ("model_fp16.onnx".to_owned(), GraphKind::Plain)
        );
        let refused = |graph, precision| {
            choose_graph(&spec(folder.path(), graph, precision))
                .unwrap_err()
                .to_string()
        };
        assert!(refused(GraphKind::Auto, Some("q4")).contains("no graph (.onnx) of precision q4"));
        assert!(refused(GraphKind::Gqa, Some("fp16")).contains("no GroupQueryAttention graph"));
    }

    #[test]
    fn the_version_follows_every_file_of_the_graph_and_no_other_graph() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| std::fs::write(folder.path().join(name), content).unwrap();
        write("config.json", "{}");
        write("model.onnx", "GroupQueryAttention model.onnx_data");
        write("model_plain.onnx", "location model.onnx_data");
        write("model_other.onnx", "alone");
        write("model.onnx_data", "weights");
        let of = |name: &str| {
            let path = folder.path().join(name);
            let graph = Graph {
                bytes: std::fs::read(&path).unwrap(),
                path,
                kind: GraphKind::Plain,
            };
            version(folder.path(), &graph).unwrap()
        };
        let versions = || [of("model.onnx"), of("model_plain.onnx"), of("model_other.onnx")];
        let [first, plain, other] = versions();
        assert!(first != plain && plain != other);
        write("MODEL_CARD.md", "words");
        assert_eq!(versions(), [first.clone(), plain.clone(), other.clone()]);
        write("model.onnx_data", "other weights");
        let [first_then, plain_then, other_then] = versions();
        assert!(first_then != first && plain_then != plain, "both name the data");
        assert_eq!(other_then, other);
        write("config.json", "{ }");
        assert_ne!(of("model_other.onnx"), other);
    }
}
