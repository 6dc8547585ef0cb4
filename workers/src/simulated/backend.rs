//! Backends that act by their scripts, and the book of what they began.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use relay_clock::Life;
use relay_schemas::{FinishReason, InstanceId, RequestId, Work};

use super::script::{End, Faults, Pace, Script};
use crate::backend::{Backend, Code, Failure, Finished};
use crate::emitter::{Emitter, Fit};

/// A run that a model began: it was asked, and would have been paid for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Begun {
    /// Whose.
    pub request_id: RequestId,
    /// Which attempt of it.
    pub attempt: u32,
    /// By which worker.
    pub worker: InstanceId,
    /// Which life of that.
    pub worker_epoch: i64,
    /// With which model.
    pub model: String,
}

/// By what all models of a simulation run, and what they have begun, whatever became of their processes. Cheap to clone; all clones
/// are one.
#[derive(Clone)]
pub struct Scripts(Arc<Book>);

struct Book {
    seed: u64,
    pace: Pace,
    faults: Mutex<Faults>,
    begun: Mutex<Vec<Begun>>,
}

impl Scripts {
    /// Scripts without faults.
    pub fn new(seed: u64, pace: Pace) -> Self {
        Self(Arc::new(Book {
            seed,
            pace,
            faults: Mutex::default(),
            begun: Mutex::default(),
        }))
    }

    /// What may become of runs that begin from now on.
    pub fn disturb(&self, faults: Faults) {
        *self.0.faults.lock() = faults;
    }

    /// All that was begun, in order.
    pub fn begun(&self) -> Vec<Begun> {
        self.0.begun.lock().clone()
    }

    /// What runs `model` in one process, as long as that lives.
    pub fn backend(&self, model: &str, turns: u32, life: Arc<Life>) -> Arc<ScriptedBackend> {
        Arc::new(ScriptedBackend {
            book: Arc::clone(&self.0),
            model: model.to_owned(),
            turns: AtomicU32::new(turns),
            life,
        })
    }
}

/// A model that answers in text, whatever it is asked: its name, the attempt and the number of the piece.
pub struct ScriptedBackend {
    book: Arc<Book>,
    model: String,
    turns: AtomicU32,
    life: Arc<Life>,
}

impl ScriptedBackend {
    /// Turns nothing any more, as a session that has crashed.
    pub fn stop(&self) {
        self.turns.store(0, Ordering::Relaxed);
    }

    fn script(&self, work: &Work) -> Script {
        let (hash, attempt) = (&work.request.request_hash, work.lease.attempt);
        let faults = *self.book.faults.lock();
        Script::of(self.book.seed, &self.model, hash, attempt, self.book.pace, faults)
    }

    fn begin(&self, work: &Work) {
        self.book.begun.lock().push(Begun {
            request_id: work.request.request_id.clone(),
            attempt: work.lease.attempt,
            worker: work.lease.worker.clone(),
            worker_epoch: work.lease.worker_epoch,
            model: self.model.clone(),
        });
    }

    async fn wait(&self, pause: Duration) {
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        self.life.act().await;
    }
}

#[async_trait]
impl Backend for ScriptedBackend {
    async fn run(&self, work: &Work, out: &mut Emitter) -> Result<Finished, Failure> {
        self.life.act().await;
        let script = self.script(work);
        match script.end {
            End::Refuse => {
                let message = "the simulated model cannot be reached";
                return Err(Failure::before_it_began(Code::BackendUnavailable, message));
            }
            End::Busy(retry_after) => {
                self.wait(script.last_gap).await;
                return Err(Failure {
                    retry_after: Some(retry_after),
                    ..Failure::new(Code::BackendBusy, "the simulated model is busy")
                });
            }
            End::Finish | End::Fail | End::Hang => self.begin(work),
        }
        out.prompt_tokens(work.request.prompt_tokens.0);
        let most = work.planning.plan.decoding.max_tokens.0;
        for (nth, gap) in (0..).zip(script.gaps) {
            if nth == most {
                return Ok(Finished::with(FinishReason::Length));
            }
            self.wait(gap).await;
            let piece = format!("{} {} {nth}\n", self.model, work.lease.attempt);
            if out.text(&piece, 1).await == Fit::Cut {
                return Ok(Finished::with(FinishReason::Length));
            }
        }
        self.wait(script.last_gap).await;
        match script.end {
            End::Fail => Err(Failure::new(Code::BackendError, "the simulated model failed")),
            End::Hang => pending().await,
            End::Finish | End::Refuse | End::Busy(_) => Ok(Finished::with(FinishReason::Stop)),
        }
    }

    fn turns(&self) -> u32 {
        self.turns.load(Ordering::Relaxed)
    }

    fn version(&self) -> &'static str {
        "simulated"
    }
}

#[cfg(test)]
mod tests {
    use relay_clock::Clock;

    use super::*;
    use crate::testing::work;

    const PACE: Pace = Pace {
        most_pieces: 6,
        longest_gap: Duration::from_millis(500),
    };
    /// Nothing under simulation takes as long.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// What a run comes to, if it ends at all, and the text of its answer.
    async fn run(backend: &ScriptedBackend, attempt: u32) -> (Option<Result<Finished, Failure>>, String) {
        let mut asked = work("m", "{}");
        asked.lease.attempt = attempt;
        let mut out = Emitter::new(1_000, Arc::default(), None, Clock::system());
        let ended = tokio::time::timeout(PATIENCE, backend.run(&asked, &mut out)).await;
        (ended.ok(), out.into_parts().transcript.first_text().to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_tells_model_attempt_and_piece_and_is_the_same_in_every_run_of_the_seed() {
        let scripts = Scripts::new(1, PACE);
        let backend = scripts.backend("m", 4, Arc::default());
        let (ended, text) = run(&backend, 2).await;
        assert_eq!(ended, Some(Ok(Finished::with(FinishReason::Stop))));
        for (nth, line) in text.lines().enumerate() {
            assert_eq!(line, format!("m 2 {nth}"));
        }
        let again = Scripts::new(1, PACE).backend("m", 4, Arc::default());
        assert_eq!(run(&again, 2).await.1, text);
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_was_asked_of_a_model_is_begun() {
        let scripts = Scripts::new(2, PACE);
        let backend = scripts.backend("m", 4, Arc::default());
        let all = 1_000;
        let none = Faults::default();
        let (refused, busy) = (Faults { refused: all, ..none }, Faults { busy: all, ..none });
        let (failed, hung) = (Faults { failed: all, ..none }, Faults { hung: all, ..none });

        scripts.disturb(refused);
        let failure = run(&backend, 1).await.0.expect("it ends").expect_err("a failure");
        assert_eq!((failure.code, failure.begun), (Code::BackendUnavailable, false));
        scripts.disturb(busy);
        let failure = run(&backend, 2).await.0.expect("it ends").expect_err("a failure");
        assert_eq!(failure.code, Code::BackendBusy);
        assert!(failure.retry_after.is_some());
        assert_eq!(scripts.begun(), []);

        scripts.disturb(failed);
        let failure = run(&backend, 3).await.0.expect("it ends").expect_err("a failure");
        assert_eq!((failure.code, failure.begun), (Code::BackendError, true));
        scripts.disturb(hung);
        assert_eq!(run(&backend, 4).await.0, None, "it says nothing more");
        let attempts: Vec<u32> = scripts.begun().iter().map(|begun| begun.attempt).collect();
        assert_eq!(attempts, [3, 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_model_of_a_dead_process_begins_nothing_and_says_nothing_more() {
        let scripts = Scripts::new(3, PACE);
        let life = Arc::new(Life::default());
        let backend = scripts.backend("m", 4, Arc::clone(&life));
        let running = Arc::clone(&backend);
        let running = tokio::spawn(async move { run(&running, 1).await });
        tokio::task::yield_now().await;
        assert_eq!(scripts.begun().len(), 1);
        life.kill();
        assert_eq!(running.await.expect("no panic"), (None, String::new()));
        assert_eq!(run(&backend, 2).await, (None, String::new()));
        assert_eq!(scripts.begun().len(), 1);
    }
}
