//! The models of this worker, each with its state: loading, ready, or failed.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use relay_clock::Clock;
use relay_runner::Health;
use relay_schemas::{ModelState, ModelStatus};
use tokio::sync::Notify;

use crate::backend::{Backend, Code, Failure};
use crate::capacity::Lanes;
use crate::models::{BackendSpec, Device, Models, OnnxSpec, Price};
use crate::onnx::{OnnxModel, library_path};
use crate::remote::{Counters, RemoteModel};
use crate::visits::{Visit, Visits};

/// As `/readyz` names it.
const DEPENDENCY: &str = "models";

/// Local models that are loaded at once: one that takes for ever keeps no other waiting.
const LOADERS: usize = 4;

/// How long a worker that has a model waits for the others to load before it calls itself ready without them.
const LOAD_PATIENCE: Duration = Duration::from_mins(1);

/// Every declared model, by name.
pub struct Catalogue {
    entries: BTreeMap<String, Arc<Entry>>,
    board: Arc<Board>,
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
    /// Counts what of endpoints' answers did not come through.
    pub counters: Counters,
    /// Rung when a model is loaded or has failed.
    pub changed: Arc<Notify>,
}

impl Catalogue {
    /// Prepares remote models, and starts to load local ones in the background. `health` learns of each.
    pub fn start(models: Models, loading: Loading, health: &Health) -> Self {
        let board = Arc::new(Board::new(
            models.models.len(),
            health.clone(),
            loading.clock.clone(),
        ));
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
                    let remote = RemoteModel::new(spec, loading.clock.clone(), loading.counters.clone());
                    let remote = remote.map(|remote| Arc::new(remote) as Arc<dyn Backend>);
                    *entry.state.lock() = board.settle(&name, remote);
                }
                BackendSpec::Onnx(spec) => {
                    board.loading.lock().push(name.clone());
                    to_load.push_back((name.clone(), spec, entry.clone()));
                }
            }
            entries.insert(name, entry);
        }
        board.report();
        let loaders = to_load.len().min(LOADERS);
        let loader = Arc::new(Loader {
            waiting: Mutex::new(to_load),
            library: library_path(&loading.library),
            loading,
            board: board.clone(),
        });
        for _ in 0..loaders {
            let loader = loader.clone();
            tokio::task::spawn_blocking(move || loader.load_all());
        }
        Self { entries, board }
    }

    /// Every declared model, and how many of its requests are turned now.
    pub fn status(&self, lanes: Lanes) -> Vec<ModelStatus> {
        self.board.look();
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
        *state = self.board.settle(name, stopped);
        self.board.report();
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

/// Tells `/readyz` which models are missing. A worker that has one serves it: the others are told and keep it from nothing.
struct Board {
    health: Health,
    clock: Clock,
    began: Instant,
    /// How many are declared.
    declared: usize,
    loading: Mutex<Vec<String>>,
    failed: Mutex<BTreeMap<String, String>>,
    /// Whether it is said that the patience with what loads is over.
    is_over: AtomicBool,
}

impl Board {
    fn new(declared: usize, health: Health, clock: Clock) -> Self {
        Self {
            began: clock.instant(),
            health,
            clock,
            declared,
            loading: Mutex::default(),
            failed: Mutex::default(),
            is_over: AtomicBool::new(false),
        }
    }

    /// Time has passed.
    fn look(&self) {
        let over = self.clock.since(self.began) >= LOAD_PATIENCE;
        if over && !self.is_over.swap(true, Ordering::AcqRel) {
            self.report();
        }
    }

    /// The state of a model that was loaded or not. Only people can mend the latter, so it is logged.
    fn settle(&self, name: &str, loaded: Result<Arc<dyn Backend>, String>) -> LoadState {
        match loaded {
            Ok(backend) => LoadState::Ready(backend),
            Err(reason) => {
                tracing::error!(
                    gen_ai.request.model = name,
                    reason,
                    "a model cannot be used; this worker takes none of its requests"
                );
                self.failed.lock().insert(name.to_owned(), reason);
                LoadState::Failed
            }
        }
    }

    /// One at a time: what is said last is so.
    fn report(&self) {
        let loading = self.loading.lock();
        let failed = self.failed.lock();
        let mut missing: Vec<String> = failed
            .iter()
            .map(|(name, reason)| format!("failed {name}: {reason}"))
            .collect();
        if !loading.is_empty() {
            missing.push(format!("loading {}", loading.join(", ")));
        }
        let some_ready = self.declared > loading.len() + failed.len();
        let waits = !loading.is_empty() && !self.is_over.load(Ordering::Acquire);
        if missing.is_empty() {
            self.health.up(DEPENDENCY);
        } else if some_ready && !waits {
            self.health.degraded(DEPENDENCY, missing.join("; "));
        } else {
            self.health.down(DEPENDENCY, missing.join("; "));
        }
    }
}

/// What is to be loaded, and what is told of it.
struct Loader {
    waiting: Mutex<VecDeque<(String, OnnxSpec, Arc<Entry>)>>,
    library: PathBuf,
    loading: Loading,
    board: Arc<Board>,
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
            );
            let loaded = loaded
                .map(|model| Arc::new(model) as Arc<dyn Backend>)
                .map_err(|error| error.to_string());
            let state = self.board.settle(&name, loaded);
            self.board.loading.lock().retain(|other| *other != name);
            // Told before the first request can come for it.
            self.board.report();
            *entry.state.lock() = state;
            self.loading.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use relay_schemas::TimestampMs;

    use super::*;

    #[test]
    fn a_worker_that_has_a_model_is_ready_without_one_that_is_broken_or_loads_for_ever() {
        let (clock, manual) = Clock::manual(TimestampMs(0));
        let health = Health::default();
        let board = Board::new(3, health.clone(), clock);
        board
            .loading
            .lock()
            .extend(["slow".to_owned(), "sound".to_owned()]);
        board
            .failed
            .lock()
            .insert("broken".to_owned(), "no file".to_owned());
        board.report();
        assert!(!health.is_ready(), "nothing is loaded");
        board.loading.lock().pop();
        board.report();
        assert!(!health.is_ready(), "what loads is waited for");
        manual.advance(LOAD_PATIENCE);
        board.look();
        assert!(health.is_ready());
        assert_eq!(
            health.told()["models"],
            "degraded: failed broken: no file; loading slow"
        );
        board.loading.lock().clear();
        board
            .failed
            .lock()
            .insert("slow".to_owned(), "too large".to_owned());
        board.report();
        assert!(health.is_ready(), "one works");
        board
            .failed
            .lock()
            .insert("sound".to_owned(), "it has stopped".to_owned());
        board.report();
        assert!(!health.is_ready(), "none is left");
    }
}
