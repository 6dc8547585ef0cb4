//! What must hold at the end of every run, judged from the log.

use std::collections::{BTreeMap, BTreeSet};

use relay_clock::millis;
use relay_lifecycle::binds_key;
use relay_schemas::{FinishReason, Outcome, OutcomeStatus, Request, RequestId, TenantId};

use crate::client::ClientEnd;
use crate::ingress::ABSENT;
use crate::log::POOLS;
use crate::scheduler::UNSERVED_GRACE;
use crate::worker::BROKEN;
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
    for (id, stored) in &world.sink.traces {
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
    wrong.extend(bound_twice(&winners));
    wrong.extend(prepaid(world));
    wrong.extend(late(world));
    wrong.extend(ran_twice(world));
    wrong.extend(failed_beside_a_sound_worker(world, &winners));
    wrong.extend(lost_by_living_workers(world, &winners));
    wrong.extend(wrong_hits(world, &winners));
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
    let id = &client.id;
    match &client.end {
        None => return Some(format!("the client of {id} still waits, long after its deadline")),
        Some(ClientEnd::Error | ClientEnd::Left) => return None,
        Some(ClientEnd::Finished) => {}
    }
    let Some(winner) = winners.get(id) else {
        return Some(format!("the client of {id} saw a finish that no record holds"));
    };
    let body = |request: &Request| request.request_hash == client.request_hash;
    if !winner.request.as_deref().is_some_and(body) {
        return Some(format!(
            "the client of {id} saw the answer to another body finish"
        ));
    }
    let good = matches!(winner.status, OutcomeStatus::Completed | OutcomeStatus::Cached);
    let same = winner
        .answer
        .as_ref()
        .is_some_and(|answer| answer.choices == client.seen.choices());
    (!good || !same).then(|| {
        let answer = winner.answer.as_ref().map(|answer| &answer.choices);
        format!(
            "the client of {id} saw {:?} finish, the record says {:?} {answer:?}",
            client.seen.choices(),
            winner.status
        )
    })
}

/// A key is bound once: after work was done under it, nothing runs under it again.
fn bound_twice(winners: &BTreeMap<RequestId, &Outcome>) -> Vec<String> {
    let mut bound = BTreeSet::new();
    let binding = winners
        .values()
        .filter(|winner| binds_key(winner.status, winner.usage));
    let keys = binding.filter_map(|winner| winner.request.as_ref()?.idempotency_key.as_ref());
    keys.filter(|key| !bound.insert(*key))
        .map(|key| format!("work was done twice under the key {key}"))
        .collect()
}

/// Nothing ends long after its deadline, once the faults are over; and nothing waits for longer than a grace for a worker that
/// is not there.
fn late(world: &World) -> Vec<String> {
    let mut first = BTreeMap::new();
    for (at, outcome) in world.log.outcomes.iter() {
        first.entry(&outcome.request_id).or_insert(at);
    }
    // Of a request that was asked more than once, the first in the log counts: the others are dropped.
    let mut deadlines = BTreeMap::new();
    for (_, request) in world.log.requests.iter() {
        let mut deadline = request.deadline;
        // What was lost on its way is ended by a sweeper, at its deadline.
        if request.model == ABSENT && reached_a_scheduler(world, &request.request_id) {
            // The grace begins anew with each leader, and with each time that the control seam works.
            let begins = request.accepted_at.max(world.healed_at);
            deadline = deadline.min(begins.plus_ms(millis(UNSERVED_GRACE)));
        }
        deadlines.entry(&request.request_id).or_insert(deadline);
    }
    let late = deadlines.into_iter().filter_map(|(id, deadline)| {
        let late_ms = first.get(id)?.since_ms(deadline.max(world.healed_at));
        (late_ms > LATE_MS + world.shifted_ms).then(|| format!("{id} ended {late_ms} ms late"))
    });
    late.collect()
}

/// Whether a scheduler knows of it for good: one that takes over may find the copy damaged by which the last one knew it.
fn reached_a_scheduler(world: &World, id: &RequestId) -> bool {
    let mut copies = world.log.pools.iter().flat_map(|topics| {
        let offered = topics.ready.iter().zip(0..);
        let of_it = offered.filter(|((_, ready), _)| ready.request.request_id == *id);
        of_it.map(|(_, offset)| !topics.damaged.contains(&offset))
    });
    copies.next().is_some_and(|whole| whole) && copies.all(|whole| whole)
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
        if !requests.insert(&run.0) && !world.leases_disturbed && !world.given_back.contains(&run.0) {
            wrong.push(format!("{} ran again, without a reason", run.0));
        }
    }
    wrong
}

/// Where nothing else is disturbed, no request fails of a model that one worker could not load and another could.
fn failed_beside_a_sound_worker(world: &World, winners: &BTreeMap<RequestId, &Outcome>) -> Vec<String> {
    let in_vain = |outcome: &&&Outcome| {
        let queueing = outcome.queueing.as_ref();
        let pool = queueing.and_then(|queueing| POOLS.iter().position(|name| *name == queueing.pool));
        outcome.code.as_deref() == Some(BROKEN) && pool.is_some_and(|pool| world.one_works[pool])
    };
    let failed = winners.values().filter(in_vain);
    failed
        .filter(|_| !world.leases_disturbed)
        .map(|outcome| {
            format!(
                "{} failed beside a worker that runs its model",
                outcome.request_id
            )
        })
        .collect()
}

/// Where nothing took a worker away, no run is lost: that a log stands still loses none.
fn lost_by_living_workers(world: &World, winners: &BTreeMap<RequestId, &Outcome>) -> Vec<String> {
    let lost = |outcome: &&&Outcome| outcome.code.as_deref() == Some("worker_lost");
    let lost = winners.values().filter(lost).filter(|_| !world.runs_lost);
    lost.map(|outcome| {
        format!(
            "{} ended as worker_lost, and no worker was lost",
            outcome.request_id
        )
    })
    .collect()
}

/// A hit answers with the winning, whole answer to an equal question of the same tenant, and says where that lies.
fn wrong_hits(world: &World, winners: &BTreeMap<RequestId, &Outcome>) -> Vec<String> {
    let outcomes = world.log.outcomes.iter().map(|(_, outcome)| outcome);
    let hits = outcomes.filter(|outcome| outcome.status == OutcomeStatus::Cached);
    hits.filter(|hit| !is_answered_by_a_winner(world, winners, hit))
        .map(|hit| format!("{} was answered with what is no answer to it", hit.request_id))
        .collect()
}

fn is_answered_by_a_winner(world: &World, winners: &BTreeMap<RequestId, &Outcome>, hit: &Outcome) -> bool {
    let provenance = hit
        .caching
        .as_ref()
        .and_then(|caching| caching.provenance.as_ref());
    let source = provenance.and_then(|provenance| world.log.outcomes.get(provenance.source_offset));
    let text = |outcome: &Outcome| outcome.request.as_ref().map(|request| request.body.clone());
    source.is_some_and(|source| {
        winners
            .get(&source.request_id)
            .is_some_and(|winner| std::ptr::eq(*winner, source))
            && source.status == OutcomeStatus::Completed
            && source.answer.as_ref().is_some_and(|answer| {
                answer.choices[..]
                    .iter()
                    .all(|choice| choice.finish_reason == Some(FinishReason::Stop))
            })
            && source.answer == hit.answer
            && source.tenant == hit.tenant
            && text(source) == text(hit)
    })
}

/// Once all has ended, the tokens charged equal the fold of the winning outcomes.
fn wrongly_charged(world: &World, winners: &BTreeMap<RequestId, &Outcome>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (pool, name) in POOLS.iter().enumerate() {
        let Some(leader) = world.leader(pool) else {
            wrong.push(format!("nothing leads {name}, long after all faults"));
            continue;
        };
        let ran_here = |outcome: &&&Outcome| {
            let queueing = outcome.queueing.as_ref();
            outcome.lease.is_some() && queueing.is_some_and(|queueing| queueing.pool == *name)
        };
        let mut fold: BTreeMap<TenantId, (u64, u64)> = BTreeMap::new();
        for outcome in winners.values().filter(ran_here) {
            let sum = fold.entry(outcome.tenant.clone()).or_default();
            sum.0 += u64::from(outcome.usage.prompt_tokens.0);
            sum.1 += u64::from(outcome.usage.completion_tokens.0);
        }
        for (tenant, used) in fold {
            let charged = leader.core.tenant_tokens(&tenant);
            if charged != used {
                wrong.push(format!(
                    "{name} charges {tenant} {charged:?}, its winners used {used:?}"
                ));
            }
        }
    }
    wrong
}

/// Who runs nothing is charged what was settled: what was only held for its runs is given back.
fn prepaid(world: &World) -> Vec<String> {
    let leaders = (0..POOLS.len()).filter_map(|pool| world.leader(pool));
    let wrong = leaders.flat_map(|leader| {
        let settled = leader.core.snapshot().tenants.into_iter();
        let settled = settled.map(|tenant| (tenant.tenant.as_str().to_owned(), tenant.counter as u64));
        let settled: BTreeMap<String, u64> = settled.collect();
        let counters = leader.core.counters().into_iter();
        counters
            .filter(|(tenant, value)| settled.get(tenant) != Some(value))
            .map(|(tenant, value)| format!("{tenant} is charged {value} and nothing of it runs"))
            .collect::<Vec<_>>()
    });
    wrong.collect()
}
