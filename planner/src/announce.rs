//! Tells every ingress which models the policy takes: what clients may name is the policy's affair, and they ask an ingress.

use std::sync::Arc;
use std::time::Duration;

use relay_clock::Clock;
use relay_control::{Control, send, subjects};
use relay_runner::Identity;
use relay_schemas::{Candidate, PolicyStatus, PublicModel, TimestampMs};

use crate::policy::Policy;
use crate::reload::InForce;

/// What an ingress has not heard for some seconds does not count for it any more.
const EVERY: Duration = Duration::from_secs(1);

/// Tells it again and again. Never returns.
pub(crate) async fn run(control: Arc<dyn Control>, identity: Identity, policy: InForce, clock: Clock) {
    loop {
        let status = status(&identity, &policy.get(), clock.now());
        if let Err(error) = send(&*control, subjects::POLICY_STATUS, status).await {
            tracing::debug!(%error, "the policy's models could not be told; they are told again");
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn status(identity: &Identity, policy: &Policy, now: TimestampMs) -> PolicyStatus {
    let models = policy.document().models.iter();
    PolicyStatus {
        planner: identity.instance.clone(),
        epoch: identity.epoch,
        policy_version: policy.version().to_owned(),
        models: models
            .map(|(name, candidates)| PublicModel {
                name: name.to_string(),
                candidates: candidates.0.iter().map(Candidate::from).collect(),
            })
            .collect(),
        sent_at: now,
    }
}

#[cfg(test)]
mod tests {
    use relay_control::{InProcessControl, InProcessOptions};
    use relay_schemas::Service;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_public_names_are_told_with_who_may_run_them() {
        let control: Arc<dyn Control> = Arc::new(InProcessControl::new(InProcessOptions::default()));
        let mut told = relay_control::listen::<PolicyStatus>(&*control, subjects::POLICY_STATUS)
            .await
            .expect("it listens");
        let body = include_str!("../../deploy/policy.yaml").replace("  relay-gpt2:\n", "  public:\n");
        let policy = Policy::parse(&body).expect("a policy");
        let identity = Identity {
            service: Service::Planner,
            instance: "planner-1".into(),
            epoch: 7,
        };
        let (clock, _) = Clock::manual(TimestampMs(5));
        let telling = tokio::spawn(run(control.clone(), identity, InForce::new(policy), clock));
        for _ in 0..2 {
            let Some(relay_control::Delivery::Message(status)) = told.next().await else {
                panic!("it is told again and again")
            };
            let names: Vec<(&str, &str)> = status
                .models
                .iter()
                .map(|model| (model.name.as_str(), model.candidates[0].model.as_str()))
                .collect();
            assert_eq!(names, [("relay-chat", "relay-chat"), ("public", "relay-gpt2")]);
            assert!(status.policy_version.starts_with("default@"));
        }
        telling.abort();
    }
}
