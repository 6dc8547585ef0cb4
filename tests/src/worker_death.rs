//! A worker dies with requests of every kind in its hands; what becomes of each?

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use relay_bus::Bus;
use relay_schemas::{InstanceId, OutcomeStatus, RequestId, TimestampMs, Work};
use tokio::task::JoinSet;

use crate::ask::{End, Manner, Observation, ask_watched, unique_prompt};
use crate::files::kept;
use crate::leases::{self, Leased, Leases};
use crate::ledger::{self, Ledger};
use crate::mock::executions;
use crate::production::{Instance, Production};
use crate::proofs::{MOST, say, store};
use crate::settle::settle_running;

/// The first token comes late and the rest slowly, so that some requests have shown one and some have not.
const MOCK: [&str; 6] = ["--first-ms", "8000", "--token-ms", "500", "--tokens", "20"];
/// Requests of each kind.
const EACH: usize = 8;

/// What was seen.
#[derive(Debug)]
pub struct Report {
    /// Streamed requests of the dead worker that had shown a token; each ended as `worker_lost`.
    pub lost: usize,
    /// Requests of the dead worker that had shown none, streamed and not; each ran elsewhere.
    pub again: usize,
    /// Among them the streamed ones.
    pub again_streamed: usize,
    /// From the kill to the last second lease.
    pub slowest: Duration,
}

/// Kills a worker with `kill -9` and judges what it held. What had shown no token must be leased again within `soon`.
pub async fn worker_dies(program: &str, soon: Duration) -> anyhow::Result<Report> {
    let mut deployment = Production::start(program, 2, &MOCK).await?;
    let proof = dies(&mut deployment, soon).await;
    kept(proof, &mut deployment.folder)
}

/// Clients that ask and remember, and how many of them have seen a token.
struct Clients {
    http: reqwest::Client,
    bases: Vec<String>,
    seed: u64,
    asked: usize,
    asking: JoinSet<Observation>,
}

impl Clients {
    /// Asks `EACH` questions; returns what they have in common in their prompts, and how many have shown a token.
    fn ask(&mut self, manner: Manner) -> (String, Arc<AtomicUsize>) {
        let group = format!("group {} of {}", self.asked, self.seed);
        let shown = Arc::new(AtomicUsize::new(0));
        for _ in 0..EACH {
            let (http, base) = (
                self.http.clone(),
                self.bases[self.asked % self.bases.len()].clone(),
            );
            let prompt = format!("{group}: {}", unique_prompt(self.asked as u64));
            let counted = shown.clone();
            self.asked += 1;
            self.asking.spawn(async move {
                let first = std::sync::Once::new();
                let tell = || {
                    first.call_once(|| {
                        counted.fetch_add(1, Ordering::SeqCst);
                    });
                };
                ask_watched(&http, &base, "tenant-0", &prompt, manner, None, &tell).await
            });
        }
        (group, shown)
    }
}

async fn dies(deployment: &mut Production, soon: Duration) -> anyhow::Result<Report> {
    let bus = ledger::kafka()?;
    let began = relay_clock::Clock::system().now();
    let mut leases = Leases::from_now(&*bus).await?;
    let mut clients = Clients {
        http: crate::http::client(),
        bases: deployment.base_urls.clone(),
        seed: began.0.unsigned_abs(),
        asked: 0,
        asking: JoinSet::new(),
    };
    let mut saw = both_work(&mut clients, &mut leases).await?;
    let (early, shown) = clients.ask(Manner::Streamed);
    until("a token in each stream", || shown.load(Ordering::SeqCst) == EACH).await?;
    let (late, late_shown) = clients.ask(Manner::Streamed);
    let (whole, _) = clients.ask(Manner::Whole);
    let mut count = 0;
    let all_leased = |(_, work): &Leased| {
        count += usize::from(is_of(work, &late) || is_of(work, &whole));
        (count == 2 * EACH).then_some(())
    };
    leases.find(Duration::from_secs(10), all_leased).await?;
    let (victim, worker) = holder(&*bus, began, &early).await?;
    ensure!(
        late_shown.load(Ordering::SeqCst) == 0,
        "too slow: what should not have shown a token by now has"
    );
    let killed = relay_clock::Clock::system().now();
    deployment.kill(&victim);
    say(&format!("{worker} is killed"));
    saw.extend(clients.asking.join_all().await);
    let ledger = settle_running(&*bus, &store()?, &saw, MOST).await?;
    let all = leases::since(&*bus, began).await?;
    let executed = executions(deployment.backend()).await?;
    ensure!(
        executed <= all.len(),
        "{} leases led to {executed} executions",
        all.len()
    );
    let dead = Dead { worker, killed };
    let report = judge(&ledger, &saw, &all, &dead, &early)?;
    ensure!(
        report.slowest < soon,
        "what had shown no token ran elsewhere later than {soon:?}: {report:?}"
    );
    let both = report.again_streamed > 0 && report.again > report.again_streamed;
    ensure!(
        report.lost > 0 && both,
        "the dead worker did not hold some of each kind: {report:?}"
    );
    deployment.stop_all()?;
    Ok(report)
}

/// Asks until both workers are leased something: one whose partitions still belong to a member that
/// died before this deployment started gets them after a session timeout. Then waits for all that was asked, so that nothing
/// but what is judged is in the way of the survivor.
async fn both_work(clients: &mut Clients, leases: &mut Leases) -> anyhow::Result<Vec<Observation>> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut workers = std::collections::BTreeSet::new();
    while workers.len() < 2 {
        ensure!(Instant::now() < deadline, "only {workers:?} got work within 60 s");
        clients.ask(Manner::Whole);
        for (_, work) in leases.next(Duration::from_secs(20)).await? {
            workers.insert(work.lease.worker);
        }
    }
    Ok(std::mem::take(&mut clients.asking).join_all().await)
}

async fn until(what: &str, met: impl Fn() -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !met() {
        ensure!(Instant::now() < deadline, "never {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

fn is_of(work: &Work, group: &str) -> bool {
    work.request.body.contains(group)
}

/// A worker that runs some of `group`.
async fn holder(bus: &dyn Bus, since: TimestampMs, group: &str) -> anyhow::Result<(Instance, InstanceId)> {
    let leased = leases::since(bus, since).await?;
    let (_, work) = leased
        .iter()
        .find(|(_, work)| is_of(work, group))
        .context("nothing of the group is leased")?;
    let worker = work.lease.worker.clone();
    let number = worker
        .as_str()
        .rsplit('-')
        .next()
        .and_then(|number| number.parse().ok());
    let number = number.with_context(|| format!("{worker} has no number"))?;
    Ok((
        Instance {
            service: "workers",
            number,
        },
        worker,
    ))
}

struct Dead {
    worker: InstanceId,
    killed: TimestampMs,
}

/// Holds each lease of the dead worker that had not ended against what was promised.
fn judge(
    ledger: &Ledger,
    saw: &[Observation],
    leased: &[Leased],
    dead: &Dead,
    shown: &str,
) -> anyhow::Result<Report> {
    let mut report = Report {
        lost: 0,
        again: 0,
        again_streamed: 0,
        slowest: Duration::ZERO,
    };
    for (_, work) in leased.iter().filter(|(_, work)| work.lease.attempt == 1) {
        let id = &work.request.request_id;
        let (outcome, ..) = ledger
            .winners
            .get(id)
            .with_context(|| format!("{id} never ended"))?;
        let second = leased
            .iter()
            .find(|(_, other)| other.request.request_id == *id && other.lease.attempt == 2);
        if work.lease.worker != dead.worker || outcome.ended_at < dead.killed {
            ensure!(second.is_none(), "{id} was leased again while its worker lived");
            continue;
        }
        if is_of(work, shown) {
            ensure!(
                outcome.status == OutcomeStatus::Failed && outcome.code.as_deref() == Some("worker_lost"),
                "{id} had shown a token and ended as {:?}, {:?}",
                outcome.status,
                outcome.code
            );
            ensure!(second.is_none(), "{id} had shown a token and was leased again");
            ensure!(
                end_of(saw, id) == Some(&End::ErrorEvent("worker_lost".to_owned())),
                "{id}: its client saw {:?}",
                end_of(saw, id)
            );
            report.lost += 1;
            continue;
        }
        let (at, again) = second.with_context(|| format!("{id} had shown nothing and never ran again"))?;
        ensure!(
            again.lease.worker != dead.worker,
            "{id} was leased to the dead worker again"
        );
        ensure!(
            outcome.status == OutcomeStatus::Completed,
            "{id} ran elsewhere and ended as {:?}, {:?}",
            outcome.status,
            outcome.code
        );
        let took = Duration::from_millis(at.since_ms(dead.killed).max(0).unsigned_abs());
        report.slowest = report.slowest.max(took);
        report.again += 1;
        report.again_streamed += usize::from(work.request.stream);
    }
    Ok(report)
}

fn end_of<'a>(saw: &'a [Observation], id: &RequestId) -> Option<&'a End> {
    let mut of = saw
        .iter()
        .filter(|saw| saw.request_id.as_deref() == Some(id.as_str()));
    of.next().map(|saw| &saw.end)
}
