//! The models of this worker, each with its state: loading, ready, or failed.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use relay_clock::Clock;
use relay_runner::Health;
use tokio::sync::watch;

use crate::backend::{Backend, Code, Failure};
use crate::models::{BackendSpec, Device, Models, OnnxSpec, Price};
use crate::onnx::{OnnxModel, library_path};
use crate::remote::{Counters, RemoteModel};

/// As `/readyz` names it.
const DEPENDENCY: &str = "models";

/// Local models that are loaded at once: one that takes for ever keeps no other waiting.
const LOADERS: usize = 4;

/// Every declared model, by name.
pub struct Catalogue {
    entries: BTreeMap<String, Entry>,
}

struct Entry {
    price: Price,
    state: watch::Receiver<LoadState>,
}

#[derive(Clone)]
enum LoadState {
    Loading,
    Ready(Arc<dyn Backend>),
    /// The reason is for the log and for `/readyz`, not for clients: it names paths.
    Failed,
}

/// A model that is ready to run.
pub struct LoadedModel {
    /// What runs it.
    pub backend: Arc<dyn Backend>,
    /// What it costs.
    pub price: Price,
}

/// What loading needs to know.
#[derive(Clone)]
pub struct Loading {
    /// ONNX Runtime's library, as configured.
    pub library: PathBuf,
    /// Where models run that do not say it themselves.
    pub device: Device,
    /// Tells the time.
    pub clock: Clock,
    /// Counts what of endpoints' answers did not come through.
    pub counters: Counters,
}

impl Catalogue {
    /// Prepares remote models, and starts to load local ones in the background. `health` learns of each.
    pub fn start(models: Models, loading: Loading, health: &Health) -> Self {
        let board = Board {
            health: health.clone(),
            failed: Mutex::new(BTreeMap::new()),
        };
        let mut entries = BTreeMap::new();
        let mut to_load = Vec::new();
        for (name, spec) in models.models {
            let (sender, state) = watch::channel(LoadState::Loading);
            let price = spec.price();
            match spec {
                BackendSpec::Remote(spec) => {
                    let remote = RemoteModel::new(spec, loading.clock.clone(), loading.counters.clone());
                    let remote = remote.map(|remote| Arc::new(remote) as Arc<dyn Backend>);
                    sender.send_replace(board.settle(&name, remote));
                }
                BackendSpec::Onnx(spec) => to_load.push((name.clone(), spec, sender)),
            }
            entries.insert(name, Entry { price, state });
        }
        let left: Vec<String> = to_load.iter().map(|(name, ..)| name.clone()).collect();
        board.report(&left);
        let loaders = left.len().min(LOADERS);
        let loader = Arc::new(Loader {
            waiting: Mutex::new(to_load.into()),
            left: Mutex::new(left),
            library: library_path(&loading.library),
            loading,
            board,
        });
        for _ in 0..loaders {
            let loader = loader.clone();
            tokio::task::spawn_blocking(move || loader.load_all());
        }
        Self { entries }
    }

    /// Every model's name. One that failed to load is among them: its requests must come here to learn so.
    pub fn names(&self) -> Vec<String> {
        self.entries.keys().cloned().collect()
    }

    /// The model, once it is loaded.
    pub async fn ready(&self, name: &str) -> Result<LoadedModel, Failure> {
        let entry = self.entries.get(name).ok_or_else(|| {
            Failure::new(
                Code::ModelNotFound,
                format!("no worker of this pool has the model `{name}`"),
            )
        })?;
        let mut state = entry.state.clone();
        let loaded = state.wait_for(|state| !matches!(state, LoadState::Loading)).await;
        match loaded.as_deref() {
            Ok(LoadState::Ready(backend)) => Ok(LoadedModel {
                backend: backend.clone(),
                price: entry.price,
            }),
            Ok(LoadState::Failed | LoadState::Loading) | Err(_) => Err(Failure::new(
                Code::BackendUnavailable,
                format!("the model `{name}` could not be loaded"),
            )),
        }
    }
}

/// Tells `/readyz` which models are missing.
struct Board {
    health: Health,
    failed: Mutex<BTreeMap<String, String>>,
}

impl Board {
    /// The state of a model that was loaded or not. Only people can mend the latter, so it is logged.
    fn settle(&self, name: &str, loaded: Result<Arc<dyn Backend>, String>) -> LoadState {
        match loaded {
            Ok(backend) => LoadState::Ready(backend),
            Err(reason) => {
                tracing::error!(
                    gen_ai.request.model = name,
                    reason,
                    "a model cannot be used; its requests will fail"
                );
                self.failed.lock().insert(name.to_owned(), reason);
                LoadState::Failed
            }
        }
    }

    fn report(&self, still_loading: &[String]) {
        let mut missing: Vec<String> = self
            .failed
            .lock()
            .iter()
            .map(|(name, reason)| format!("{name}: {reason}"))
            .collect();
        if !still_loading.is_empty() {
            missing.push(format!("loading {}", still_loading.join(", ")));
        }
        if missing.is_empty() {
            self.health.up(DEPENDENCY);
        } else {
            self.health.down(DEPENDENCY, missing.join("; "));
        }
    }
}

/// What is to be loaded, and what is told of it.
struct Loader {
    waiting: Mutex<VecDeque<(String, OnnxSpec, watch::Sender<LoadState>)>>,
    /// Those that are not loaded yet, the waiting ones included.
    left: Mutex<Vec<String>>,
    library: PathBuf,
    loading: Loading,
    board: Board,
}

impl Loader {
    /// Loads what waits, one model after the other.
    fn load_all(&self) {
        loop {
            let next = self.waiting.lock().pop_front();
            let Some((name, spec, sender)) = next else { return };
            tracing::info!(gen_ai.request.model = name, model.path = %spec.path.display(), "loading a model");
            let loaded = OnnxModel::load(
                &name,
                &spec,
                &self.library,
                self.loading.device,
                &self.loading.clock,
            );
            let loaded = loaded
                .map(|model| Arc::new(model) as Arc<dyn Backend>)
                .map_err(|error| error.to_string());
            let state = self.board.settle(&name, loaded);
            // Told before the first request can fail of it, and by one at a time: what is said last is so.
            let mut left = self.left.lock();
            left.retain(|other| *other != name);
            self.board.report(&left);
            drop(left);
            sender.send_replace(state);
        }
    }
}
