//! `relay plan`: what the policy makes of a request, and why.

use anyhow::Context;

use crate::cli::PlanRequest;
use crate::config::Config;

/// Prints the plan and the decision trace.
pub fn run(config: &Config, asked: &PlanRequest) -> anyhow::Result<()> {
    let path = asked.request.display().to_string();
    let body = std::fs::read(&asked.request).with_context(|| format!("cannot read {path}"))?;
    let request = relay_ingress::preview(&config.ingress, &asked.tenant, &body).context(path)?;
    let policy = relay_planner::load(&config.planner.policy)?;
    print!("{}", relay_planner::explain(&policy, &request, asked.json));
    Ok(())
}
