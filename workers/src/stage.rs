//! The stage: a work record in, an outcome out, and behind its acknowledgement the last frame.

use std::sync::Arc;

use async_trait::async_trait;
use relay_bus::{Headers, Partition, Record, decode, header, topics, traceparent_of};
use relay_control::final_frames;
use relay_runner::{Stage, StageError, Step, crash_point, outcome_record};
use relay_schemas::{Frame, Lane, Lease, Outcome, Registry, RequestId, Returned, Service, Work};

use crate::emitter::Emitter;
use crate::ledger::{Admission, Skip};
use crate::run::RunResult;
use crate::stream::Stream;
use crate::worker::{Handle, Holding, Worker};

/// Runs leased work.
pub struct WorkerStage {
    /// What all parts share.
    pub worker: Arc<Worker>,
    /// Other writers' schemas.
    pub schemas: Arc<Registry>,
    /// The lane whose topic it reads.
    pub lane: Lane,
}

/// Sends the last frames, and then lets go of the request.
pub struct SendLast {
    /// Where an ingress waits.
    last: Option<(Stream, Vec<Frame>)>,
    _holding: Holding,
}

#[async_trait]
impl Stage for WorkerStage {
    type Effect = SendLast;

    async fn on_record(&self, record: &Record) -> Result<Step<SendLast>, StageError> {
        let work: Work = decode(&self.schemas, record)?;
        let handle = Handle::default();
        let now = self.worker.clock.steady();
        let (request, lease, lane) = (&work.request.request_id, &work.lease, work.queueing.lane);
        let admission = self
            .worker
            .ledger
            .lock()
            .admit(request, lease, lane, handle.clone(), now);
        match admission {
            Admission::Run { cancelled } => {
                if cancelled {
                    handle.cancel.cancel();
                }
                let traceparent = traceparent_of(&record.headers);
                Ok(self.run(work, handle, traceparent).await)
            }
            Admission::Skip(skip) => {
                self.worker
                    .runner
                    .metrics
                    .skipped
                    .with_label_values(&[skip.name()])
                    .inc();
                if skip == Skip::OldScheduler {
                    self.warn_of(lease);
                }
                if skip.is_told() {
                    self.tell_of(request, lease);
                }
                tracing::debug!(
                    request.id = %request,
                    lease.worker = %lease.worker,
                    lease.worker_epoch = lease.worker_epoch,
                    lease.attempt = lease.attempt,
                    reason = skip.name(),
                    "a work record is passed over"
                );
                Ok(Step::nothing())
            }
        }
    }

    async fn on_partitions(&self, owned: &[Partition]) {
        let mut partitions: Vec<i32> = owned.iter().map(|owned| owned.partition).collect();
        partitions.sort_unstable();
        self.worker.partitions.lock()[self.lane as usize] = partitions;
        self.worker.changed.notify_one();
    }

    async fn after_ack(&self, effect: SendLast) {
        crash_point(Service::Workers, "before_final");
        if let Some((mut stream, frames)) = effect.last {
            stream.send(frames).await;
        }
        crash_point(Service::Workers, "after_final");
    }
}

impl WorkerStage {
    /// Work of an overtaken scheduler is refused: once in a while that is as it should be, again and again it is not.
    fn warn_of(&self, lease: &Lease) {
        let mut ledger = self.worker.ledger.lock();
        if ledger.is_news(lease.scheduler_epoch) {
            tracing::warn!(
                scheduler.epoch = lease.scheduler_epoch,
                scheduler.newest_epoch = ledger.newest_scheduler(),
                "work of a scheduler that was overtaken is refused; if no other one leads the pool, because its topic {} was made anew \
                 while clocks stood wrong, restart this worker",
                topics::scheduler(&self.worker.config.pool)
            );
        }
    }

    /// A scheduler that holds the lease after all would wait for it to its deadline.
    fn tell_of(&self, request: &RequestId, lease: &Lease) {
        let returned = Returned {
            request_id: request.clone(),
            attempt: lease.attempt,
            code: Returned::PASSED_OVER.to_owned(),
            message: "this attempt is over on its worker".to_owned(),
            begun: false,
        };
        let now = self.worker.clock.steady();
        self.worker.given_back.lock().add(returned, now);
        self.worker.tell();
    }

    async fn run(&self, work: Work, handle: Handle, traceparent: Option<String>) -> Step<SendLast> {
        let worker = &self.worker;
        let holding = Holding::new(
            worker.clone(),
            (work.request.request_id.clone(), work.lease.attempt),
        );
        crash_point(Service::Workers, "before_run");
        let run = worker.identity.run(work.lease.attempt);
        let streamed = work.request.stream;
        let reply_to = work.request.reply_to.clone();
        let mut headers = Headers::of(&work.request);
        headers.set(header::ATTEMPT, work.lease.attempt.to_string());
        let stream = reply_to.clone().map(|reply_to| {
            let request = work.request.request_id.clone();
            Stream::new(
                worker.control.clone(),
                reply_to,
                worker.replays.clone(),
                request,
                run.clone(),
                worker.clock.clone(),
            )
        });
        let (pieces, whole) = if streamed { (stream, None) } else { (None, stream) };
        let out = Emitter::new(
            worker.config.max_answer.as_usize(),
            handle.tokens.clone(),
            pieces,
            worker.clock.clone(),
        )
        .of_trace(traceparent);
        let (request_id, attempt) = (work.request.request_id.clone(), work.lease.attempt);
        let (outcome, pieces) = match worker.runner.run(work, run, out, &handle.cancel).await {
            RunResult::Ended(outcome, pieces) => (outcome, pieces),
            RunResult::GivenBack(failure) => {
                tracing::info!(
                    request.id = %request_id,
                    attempt,
                    code = failure.code.name(),
                    reason = failure.message,
                    "a run failed before a client saw anything of it and is given back for another worker or pool"
                );
                let returned = Returned {
                    request_id,
                    attempt,
                    code: failure.code.name().to_owned(),
                    message: failure.message,
                    begun: failure.begun,
                };
                // Told before it is let go: no status leaves it out.
                worker.given_back.lock().add(returned, worker.clock.steady());
                drop(holding);
                return Step::nothing();
            }
        };
        let outcome: Arc<Outcome> = outcome.into();
        let last = pieces.or(whole).map(|stream| {
            let most = worker.control.max_payload();
            let frames = final_frames(&outcome, stream.next_seq(), !streamed, most);
            (stream, frames)
        });
        Step::publish_then(
            outcome_record(&outcome, headers),
            SendLast {
                last,
                _holding: holding,
            },
        )
    }
}
