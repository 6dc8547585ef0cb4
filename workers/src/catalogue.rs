//! The models of this worker, each with its state: loading, ready, or failed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use relay_bus::Health;
use tokio::sync::watch;

use crate::backend::{Backend, Code, Failure};
use crate::error::Error;
use crate::models::{BackendSpec, Device, Models, OnnxSpec, Price};
use crate::onnx::{OnnxModel, library_path};
use crate::remote::RemoteModel;

/// As `/readyz` names it.
const DEPENDENCY: &str = "models";

/// Every declared model, by name.
pub struct Catalogue {
    entries: BTreeMap<String, Entry>,
}

struct Entry {
    price: Price,
    state: watch::Receiver<State>,
}

#[derive(Clone)]
enum State {
    Loading,
    Ready(Arc<dyn Backend>),
    /// The reason is for the log and for `/readyz`, not for clients: it names paths.
    Failed,
}

/// A model that is ready to run.
pub struct Ready {
    /// What runs it.
    pub backend: Arc<dyn Backend>,
    /// What it costs.
    pub price: Price,
}

/// What loading needs to know.
#[derive(Debug, Clone)]
pub struct Loading {
    /// ONNX Runtime's library, as configured.
    pub library: PathBuf,
    /// Where models run that do not say it themselves.
    pub device: Device,
}

impl Catalogue {
    /// Prepares remote models, and starts to load local ones one after the other in the background. `health` is told.
    pub fn start(models: Models, loading: Loading, health: &Health) -> Result<Self, Error> {
        let mut entries = BTreeMap::new();
        let mut to_load = Vec::new();
        for (name, model) in models.models {
            let state = match model.backend {
                BackendSpec::Remote(spec) => {
                    let remote = RemoteModel::new(spec).map_err(|reason| Error::Endpoint {
                        model: name.clone(),
                        reason,
                    })?;
                    watch::channel(State::Ready(Arc::new(remote))).1
                }
                BackendSpec::Onnx(spec) => {
                    let (sender, state) = watch::channel(State::Loading);
                    to_load.push((name.clone(), spec, sender));
                    state
                }
            };
            entries.insert(
                name,
                Entry {
                    price: model.price,
                    state,
                },
            );
        }
        let names: Vec<String> = to_load.iter().map(|(name, ..)| name.clone()).collect();
        let board = Board {
            health: health.clone(),
            failed: Mutex::new(BTreeMap::new()),
        };
        if names.is_empty() {
            health.up(DEPENDENCY);
        } else {
            health.down(DEPENDENCY, format!("loading {}", names.join(", ")));
            tokio::task::spawn_blocking(move || load_all(to_load, &loading, &board));
        }
        Ok(Self { entries })
    }

    /// Every model's name. One that failed to load is among them: its requests must come here to be told so.
    pub fn names(&self) -> Vec<String> {
        self.entries.keys().cloned().collect()
    }

    /// The model, once it is loaded.
    pub async fn ready(&self, name: &str) -> Result<Ready, Failure> {
        let entry = self.entries.get(name).ok_or_else(|| {
            Failure::new(
                Code::ModelNotFound,
                format!("no worker of this pool has the model `{name}`"),
            )
        })?;
        let mut state = entry.state.clone();
        let loaded = state.wait_for(|state| !matches!(state, State::Loading)).await;
        match loaded.as_deref() {
            Ok(State::Ready(backend)) => Ok(Ready {
                backend: backend.clone(),
                price: entry.price,
            }),
            Ok(State::Failed | State::Loading) | Err(_) => Err(Failure::new(
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
    fn failed(&self, name: &str, reason: String) {
        self.failed.lock().insert(name.to_owned(), reason);
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

fn load_all(models: Vec<(String, OnnxSpec, watch::Sender<State>)>, loading: &Loading, board: &Board) {
    let library = library_path(&loading.library);
    let mut left: Vec<String> = models.iter().map(|(name, ..)| name.clone()).collect();
    for (name, spec, sender) in models {
        tracing::info!(gen_ai.request.model = name, model.path = %spec.path.display(), "loading a model");
        let state = match OnnxModel::load(&name, &spec, &library, loading.device) {
            Ok(model) => State::Ready(Arc::new(model)),
            Err(error) => {
                tracing::error!(gen_ai.request.model = name, %error, "a model cannot be loaded; its requests will fail");
                board.failed(&name, error.to_string());
                State::Failed
            }
        };
        sender.send_replace(state);
        left.retain(|other| *other != name);
        board.report(&left);
    }
}
