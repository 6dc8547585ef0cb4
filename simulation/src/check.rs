//! What must hold at the end of every run, judged from the log.

use std::collections::{BTreeMap, BTreeSet};

use relay_schemas::{Outcome, OutcomeStatus, RequestId, TenantId};

use crate::client::Saw;
use crate::world::World;

/// How long after its deadline, and after all faults, a request may still end: a silent leader is suspected after 2 s, its
/// leases are doubted after another 2 s, and then the ingress is asked twice.
const LATE_MS: i64 = 6_000;

/// Everything that does not hold.
pub(crate) fn check(world: &World) -> Vec<String> {
    let mut wrong = world.violations.clone();
    let winners = winners(world);
    for (_, request) in world.log.requests.iter() {
        if !winners.contains_key(&request.request_id) {
            wrong.push(format!("{} was accepted and never ended", request.request_id));
        }
    }
    for (id, (_, stored)) in &world.sink.winners {
        if winners
            .get(id)
            .is_none_or(|winner| winner.run != stored.run || winner.status != stored.status)
        {
            wrong.push(format!(
                "{id}: the sink holds {:?} of {:?}, which did not win",
                stored.status, stored.run
            ));
        }
    }
    wrong.extend(
        world
            .clients
            .iter()
            .filter_map(|client| told_untruth(client, &winners)),
    );
    wrong.extend(wrongly_charged(world, &winners));
    wrong.extend(late(world));
    wrong.extend(ran_twice(world));
    wrong
}

/// The first outcome of each request.
fn winners(world: &World) -> BTreeMap<RequestId, &Outcome> {
    let mut winners = BTreeMap::new();
    for (_, outcome) in world.log.outcomes.iter() {
        winners.entry(outcome.request_id.clone()).or_insert(outcome);
    }
    winners
}

/// What a client saw finish is what the record says; and every client is told an end.
fn told_untruth(client: &crate::client::Client, winners: &BTreeMap<RequestId, &Outcome>) -> Option<String> {
    let id = client.request.as_ref()?;
    let reason = match &client.end {
        None => return Some(format!("the client of {id} still waits, long after its deadline")),
        Some(Saw::Error | Saw::Left) => return None,
        Some(Saw::Finished(reason)) => reason,
    };
    let Some(winner) = winners.get(id) else {
        return Some(format!("the client of {id} saw a finish that no record holds"));
    };
    let good = matches!(winner.status, OutcomeStatus::Completed | OutcomeStatus::Cached);
    let same = winner
        .answer
        .as_ref()
        .is_some_and(|answer| answer.text == client.text && answer.finish_reason == *reason);
    (!good || !same).then(|| {
        let answer = winner.answer.as_ref().map(|answer| answer.text.as_str());
        format!(
            "the client of {id} saw {:?} finish, the record says {:?} {answer:?}",
            client.text, winner.status
        )
    })
}

/// Nothing ends long after its deadline, once the faults are over.
fn late(world: &World) -> Vec<String> {
    let mut first = BTreeMap::new();
    for (at, outcome) in world.log.outcomes.iter() {
        first.entry(&outcome.request_id).or_insert(at);
    }
    let requests = world.log.requests.iter().map(|(_, request)| request);
    let late = requests.filter_map(|request| {
        let at = *first.get(&request.request_id)?;
        let due = request.deadline.max(world.healed_at);
        (at.since_ms(due) > LATE_MS)
            .then(|| format!("{} ended {} ms late", request.request_id, at.since_ms(due)))
    });
    late.collect()
}

/// One life of a worker runs an attempt once; and unless leases were disturbed, a request runs once at all.
fn ran_twice(world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut attempts, mut requests) = (BTreeSet::new(), BTreeSet::new());
    for run in &world.runs {
        if !attempts.insert(run) {
            wrong.push(format!(
                "worker-{} ran attempt {} of {} twice",
                run.2, run.1, run.0
            ));
        }
        if !requests.insert(&run.0) && !world.leases_disturbed {
            wrong.push(format!("{} ran again, without a reason", run.0));
        }
    }
    wrong
}

/// Once all has ended, the tokens charged equal the fold of the winning outcomes.
fn wrongly_charged(world: &World, winners: &BTreeMap<RequestId, &Outcome>) -> Vec<String> {
    let Some(leader) = world.leader() else {
        return vec!["nobody leads, long after all faults".to_owned()];
    };
    let mut fold: BTreeMap<TenantId, (u64, u64)> = BTreeMap::new();
    for outcome in winners.values().filter(|outcome| outcome.lease.is_some()) {
        let sum = fold.entry(outcome.tenant.clone()).or_default();
        sum.0 += u64::from(outcome.usage.prompt_tokens.0);
        sum.1 += u64::from(outcome.usage.completion_tokens.0);
    }
    let wrong = fold
        .iter()
        .map(|(tenant, fold)| (tenant, fold, leader.core.tenant_tokens(tenant)));
    let wrong = wrong.filter(|(_, fold, charged)| *fold != charged);
    wrong
        .map(|(tenant, fold, charged)| format!("{tenant} is charged {charged:?}, its winners used {fold:?}"))
        .collect()
}
