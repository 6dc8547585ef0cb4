//! The models of this worker, each with its state: loading, ready, or failed.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use relay_clock::Clock;
use relay_runner::Chance;
use relay_schemas::{ModelState, ModelStatus};
use tokio::sync::Notify;

use crate::backend::{Backend, Code, Failure};
use crate::board::{self, Board};
use crate::capacity::Lanes;
use crate::models::{BackendSpec, Device, Models, OnnxSpec, Price};
use crate::onnx::OnnxModel;
use crate::remote::{Counters, RemoteModel};
use crate::visits::{Visit, Visits};

/// Local models that are loaded at once: one that takes for ever keeps no other waiting.
const LOADERS: usize = 4;

/// Every declared model, by name.
pub struct Catalogue {
    entries: BTreeMap<String, Arc<Entry>>,
    told: Told,
}

/// Where it is told how the models of one worker are.
#[derive(Clone)]
pub struct Told {
    /// Shared by all workers of the process.
    pub board: Arc<Board>,
    /// The worker's pool, where the process has several.
    pub pool: Option<String>,
}

impl Told {
    /// The state of a model that was loaded or not. Only people can mend the latter, so it is logged.
    fn settle(&self, model: &str, loaded: Result<Arc<dyn Backend>, String>) -> LoadState {
        let name = board::name(model, self.pool.as_deref());
        match loaded {
            Ok(backend) => {
                self.board.settle(&name, None);
                LoadState::Ready(backend)
            }
            Err(reason) => {
                tracing::error!(
                    gen_ai.request.model = model,
                    pool = self.pool,
                    reason,
                    "a model cannot be used; this worker takes none of its requests"
                );
                self.board.settle(&name, Some(reason));
                LoadState::Failed
            }
        }
    }
}

struct Entry {
    price: Price,
    state: Mutex<LoadState>,
    visits: Visits,
}

#[derive(Clone)]
enum LoadState {
    Loading,
    Ready(Arc<dyn Backend>),
    /// The reason is for the log and for `/readyz`, not for clients: it names paths.
    Failed,
}

impl Entry {
    fn backend(&self) -> Option<Arc<dyn Backend>> {
        match &*self.state.lock() {
            LoadState::Ready(backend) => Some(backend.clone()),
            LoadState::Loading | LoadState::Failed => None,
        }
    }
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
    /// What is left to chance.
    pub chance: Chance,
    /// Counts what of endpoints' answers did not come through.
    pub counters: Counters,
    /// Rung when a model is loaded or has failed.
    pub changed: Arc<Notify>,
}

impl Catalogue {
    /// Prepares remote models, and starts to load local ones in the background. Each is `told`.
    pub fn start(models: Models, loading: Loading, told: Told) -> Self {
        let mut entries = BTreeMap::new();
        let mut to_load = VecDeque::new();
        for (name, spec) in models.models {
            let entry = Arc::new(Entry {
                price: spec.price(),
                state: Mutex::new(LoadState::Loading),
                visits: Visits::new(loading.changed.clone()),
            });
            match spec {
                BackendSpec::Remote(spec) => {
                    let remote = RemoteModel::new(
                        spec,
                        loading.clock.clone(),
                        loading.chance.clone(),
                        loading.counters.clone(),
                    );
                    let remote = remote.map(|remote| Arc::new(remote) as Arc<dyn Backend>);
                    *entry.state.lock() = told.settle(&name, remote);
                }
                BackendSpec::Onnx(spec) => {
                    to_load.push_back((name.clone(), spec, entry.clone()));
                }
            }
            entries.insert(name, entry);
        }
        let loaders = to_load.len().min(LOADERS);
        let loader = Arc::new(Loader {
            waiting: Mutex::new(to_load),
            library: loading.library.clone(),
            loading,
            told: told.clone(),
        });
        for _ in 0..loaders {
            let loader = loader.clone();
            tokio::task::spawn_blocking(move || loader.load_all());
        }
        Self { entries, told }
    }

    /// Models that are there already. Each is `told`; `changed` is rung as for those that are loaded.
    #[cfg(feature = "simulated")]
    pub fn of(models: BTreeMap<String, LoadedModel>, changed: &Arc<Notify>, told: Told) -> Self {
        let ready = |(name, model): (String, LoadedModel)| {
            let entry = Entry {
                price: model.price,
                state: Mutex::new(told.settle(&name, Ok(model.backend))),
                visits: Visits::new(changed.clone()),
            };
            (name, Arc::new(entry))
        };
        let entries = models.into_iter().map(ready).collect();
        Self { entries, told }
    }

    /// Every declared model, and how many of its requests are turned now.
    pub fn status(&self, lanes: Lanes) -> Vec<ModelStatus> {
        self.told.board.look();
        let status = |(name, entry): (&String, &Arc<Entry>)| {
            let (state, turns) = self.state(name, entry);
            lanes.of_model(name, state, entry.visits.left(turns))
        };
        self.entries.iter().map(status).collect()
    }

    /// A model's state, and what it turns. One that stopped turning anything has failed.
    fn state(&self, name: &str, entry: &Entry) -> (ModelState, u32) {
        let mut state = entry.state.lock();
        let stopped = match &*state {
            LoadState::Loading => return (ModelState::Loading, 0),
            LoadState::Failed => return (ModelState::Failed, 0),
            LoadState::Ready(backend) => match backend.turns() {
                0 => Err("it has stopped: restart this worker".to_owned()),
                turns => return (ModelState::Ready, turns),
            },
        };
        *state = self.told.settle(name, stopped);
        (ModelState::Failed, 0)
    }

    /// The model, if it is loaded.
    pub fn ready(&self, name: &str) -> Result<LoadedModel, Failure> {
        let Some(entry) = self.entries.get(name) else {
            let message = format!("no worker of this pool has the model `{name}`");
            return Err(Failure::before_it_began(Code::ModelNotFound, message));
        };
        let Some(backend) = entry.backend() else {
            let message = format!("the model `{name}` is not loaded");
            return Err(Failure::before_it_began(Code::BackendUnavailable, message));
        };
        let price = entry.price;
        Ok(LoadedModel { backend, price })
    }

    /// A run that began with the model `from` goes on with another.
    pub fn visit(&self, from: &str, at: &str) -> Option<Visit> {
        let (from, at) = (self.entries.get(from)?, self.entries.get(at)?);
        let turns = at.backend()?.turns();
        Some(from.visits.go_on(&at.visits, turns))
    }
}

/// What is to be loaded, and what is told of it.
struct Loader {
    waiting: Mutex<VecDeque<(String, OnnxSpec, Arc<Entry>)>>,
    library: PathBuf,
    loading: Loading,
    told: Told,
}

impl Loader {
    /// Loads what waits, one model after the other.
    fn load_all(&self) {
        loop {
            let next = self.waiting.lock().pop_front();
            let Some((name, spec, entry)) = next else { return };
            tracing::info!(gen_ai.request.model = name, model.path = %spec.path.display(), "loading a model");
            let loaded = OnnxModel::load(
                &name,
                &spec,
                &self.library,
                self.loading.device,
                &self.loading.clock,
                &self.loading.chance,
            );
            let loaded = loaded
                .map(|model| Arc::new(model) as Arc<dyn Backend>)
                .map_err(|error| error.to_string());
            // Told before the first request can come for it.
            let state = self.told.settle(&name, loaded);
            *entry.state.lock() = state;
            self.loading.changed.notify_one();
        }
    }
}
