//! Waits for the parts of this process, and ends its services in the order of the flow once it is to end: [`DrainPlan`] says which
//! step is due, and this takes it.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::Context;
use relay_clock::Clock;
use relay_runner::{DrainPlan, DrainStep, Shutdown};
use tokio::task::{Id, JoinError, JoinSet};

use crate::hosted::HostedService;
use crate::signals::Interrupted;

/// After a second signal, the time for what ends by itself.
const AFTER_STOP: Duration = Duration::from_millis(500);

/// Some of what had begun when the drain began did not finish.
#[derive(Debug)]
pub struct Cut {
    count: u64,
    timeout: Duration,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, timeout) = (self.count, humantime::format_duration(self.timeout));
        write!(
            f,
            "the drain took longer than {timeout} (`drain_timeout`): {count} of what had begun did not finish; who waited for it was told, \
             and what was accepted is in the log and goes on at the next start"
        )
    }
}

impl std::error::Error for Cut {}

/// What runs in this process.
pub struct Running {
    plan: DrainPlan,
    process: Shutdown,
    clock: Clock,
    parts: JoinSet<anyhow::Result<()>>,
    /// In the order of the flow; one that has ended is gone.
    services: Vec<(HostedService, Shutdown)>,
    of_task: HashMap<Id, HostedService>,
}

impl Running {
    /// Nothing runs yet.
    pub fn new(plan: DrainPlan, process: Shutdown, clock: Clock) -> Self {
        Self {
            plan,
            process,
            clock,
            parts: JoinSet::new(),
            services: Vec::new(),
            of_task: HashMap::new(),
        }
    }

    /// Runs a service, behind those in the flow that were added before. `shutdown` has its steps.
    pub fn add_service<E>(
        &mut self,
        hosted: HostedService,
        shutdown: Shutdown,
        service: impl Future<Output = Result<(), E>> + Send + 'static,
    ) where
        Result<(), E>: Context<(), E>,
    {
        self.services.push((hosted, shutdown.clone()));
        let task = self.parts.spawn(async move {
            service.await.with_context(|| hosted.to_string())?;
            anyhow::ensure!(
                shutdown.is_ending(),
                "{hosted} ended by itself, though nothing asked it to"
            );
            Ok(())
        });
        self.of_task.insert(task.id(), hosted);
    }

    /// Runs what goes on beside the services until they have ended.
    pub fn add(&mut self, part: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        self.parts.spawn(part);
    }

    /// Waits for all; the first failure is told at once and drains the others: a half-dead process never lingers, nor ends without a
    /// word.
    pub async fn finish(mut self) -> anyhow::Result<()> {
        let mut result = Ok(());
        let mut began: Option<Instant> = None;
        let mut stopped: Option<Instant> = None;
        loop {
            let now = self.clock.instant();
            if self.process.is_ending() {
                began.get_or_insert(now);
            }
            if self.process.is_stopped() {
                stopped.get_or_insert(now);
            }
            let since = began.map(|began| now.saturating_duration_since(began));
            if let Some(since) = since {
                self.tell(since);
            }
            let given_up = stopped.is_some_and(|at| now.saturating_duration_since(at) >= AFTER_STOP);
            if given_up || since.is_some_and(|since| self.plan.is_over(since)) {
                self.give_up();
                break;
            }
            let look = since.and_then(|since| Some(self.plan.next_look(since)?.saturating_sub(since)));
            let look = if stopped.is_some() { Some(AFTER_STOP) } else { look };
            let failed = tokio::select! {
                biased;
                ended = self.parts.join_next_with_id() => match ended {
                    None => break,
                    Some(ended) => self.ended(ended),
                },
                () = self.process.ending(), if began.is_none() => None,
                () = self.process.stopped(), if stopped.is_none() => None,
                () = after(look) => None,
            };
            if let Some(failed) = failed {
                tracing::error!(
                    error = format!("{failed:#}"),
                    "a part of this process has failed; the others drain, then it ends"
                );
                // Nobody is to choose what is half dead.
                self.plan.lame_duck = Duration::ZERO;
                self.process.end();
                result = result.and(Err(failed));
            }
        }
        result?;
        self.outcome()
    }

    /// Has each service take its step.
    fn tell(&self, since: Duration) {
        for (place, (hosted, shutdown)) in self.services.iter().enumerate() {
            let tells_clients = *hosted == HostedService::Ingress;
            shutdown.take(self.plan.step(place == 0, tells_clients, since));
        }
        if self.services.is_empty() {
            self.process.take(DrainStep::Drain);
        }
    }

    /// Why a part failed, if it did.
    fn ended(&mut self, ended: Result<(Id, anyhow::Result<()>), JoinError>) -> Option<anyhow::Error> {
        let (id, failed) = match ended {
            Ok((id, result)) => (id, result.err()),
            Err(panic) => (panic.id(), Some(anyhow::anyhow!("a service panicked: {panic}"))),
        };
        if let Some(ended) = self.of_task.remove(&id) {
            self.services.retain(|(hosted, _)| *hosted != ended);
            if failed.is_none() {
                tracing::debug!(service = %ended, "drained");
            }
        }
        failed
    }

    fn give_up(&mut self) {
        let left: Vec<String> = self
            .services
            .iter()
            .map(|(hosted, _)| hosted.to_string())
            .collect();
        tracing::warn!(parts = left.join(", "), "what has not drained by now is left");
        self.process.cut(left.len());
        self.parts.abort_all();
    }

    fn outcome(&self) -> anyhow::Result<()> {
        if self.process.is_stopped() {
            return Err(Interrupted.into());
        }
        let count = self.process.count_cut();
        if count > 0 {
            let timeout = self.plan.timeout;
            return Err(Cut { count, timeout }.into());
        }
        tracing::info!("this process ends, as it was asked to");
        Ok(())
    }
}

async fn after(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(600);

    fn running(timeout: Duration) -> (Running, Shutdown) {
        let process = Shutdown::default();
        let plan = DrainPlan {
            timeout,
            lame_duck: Duration::ZERO,
        };
        (Running::new(plan, process.clone(), Clock::system()), process)
    }

    #[tokio::test]
    async fn one_part_that_fails_ends_the_process_even_where_another_does_not_drain() {
        let (mut running, process) = running(SHORT);
        running.add(async { Err(anyhow::anyhow!("the log is gone")) });
        running.add(std::future::pending());
        let ended = running.finish().await;
        assert_eq!(ended.expect_err("it says why").to_string(), "the log is gone");
        assert!(process.is_draining());
    }

    #[tokio::test]
    async fn a_part_that_panics_is_a_reason_too() {
        let (mut running, _) = running(SHORT);
        running.add(async { panic!("a bug") });
        let ended = running.finish().await;
        let said = ended.expect_err("it says why").to_string();
        assert!(said.contains("a service panicked"), "{said}");
    }

    #[tokio::test]
    async fn a_service_drains_once_all_that_need_it_have_ended_and_what_is_beside_them_at_last() {
        let (mut running, process) = running(LONG);
        let (tell, mut told) = mpsc::unbounded_channel();
        for hosted in HostedService::ALL {
            let (shutdown, tell) = (process.of_service(), tell.clone());
            running.add_service(hosted, shutdown.clone(), async move {
                shutdown.draining().await;
                // Whoever drained too early would be before it.
                tokio::time::sleep(Duration::from_millis(5)).await;
                tell.send(hosted.to_string())?;
                anyhow::Ok(())
            });
        }
        let beside = process.clone();
        running.add(async move {
            beside.draining().await;
            Ok(tell.send("beside".to_owned())?)
        });
        process.end();
        running.finish().await.expect("all finished");
        let mut expected = HostedService::ALL.map(|hosted| hosted.to_string()).to_vec();
        expected.push("beside".to_owned());
        let mut order = Vec::new();
        while let Ok(ended) = told.try_recv() {
            order.push(ended);
        }
        assert_eq!(order, expected);
    }

    #[tokio::test]
    async fn what_is_not_done_in_time_is_cut_and_told() {
        let (mut running, process) = running(SHORT);
        let shutdown = process.of_service();
        running.add_service(HostedService::Ingress, shutdown.clone(), async move {
            shutdown.stopped().await;
            shutdown.cut(1);
            anyhow::Ok(())
        });
        process.end();
        let error = running.finish().await.expect_err("something was cut");
        assert!(error.is::<Cut>(), "{error}");
        assert!(
            error.to_string().contains("50ms (`drain_timeout`): 1 of"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_second_signal_waits_for_nothing() {
        let (mut running, process) = running(LONG);
        let shutdown = process.of_service();
        running.add_service(
            HostedService::Workers,
            shutdown,
            std::future::pending::<anyhow::Result<()>>(),
        );
        process.end();
        process.stop();
        let error = running.finish().await.expect_err("it was no drain");
        assert!(error.is::<Interrupted>(), "{error}");
    }
}
