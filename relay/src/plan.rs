//! `relay plan`: what the policy makes of a request, and why.

use std::io::Write;

use anyhow::Context;
use relay_schemas::{Class, Request, RequestId, TenantId};

use crate::cli::PlanRequest;
use crate::config::Config;

/// Prints the plan and the decision trace.
pub fn run(config: &Config, asked: &PlanRequest) -> anyhow::Result<()> {
    let path = asked.request.display().to_string();
    let body = std::fs::read(&asked.request).with_context(|| format!("cannot read {path}"))?;
    let parsed = config.ingress.rules().parse(asked.operation.into(), &body);
    let parsed = parsed.map_err(|invalid| anyhow::anyhow!("{path}: {}", invalid.message))?;
    let now = relay_clock::Clock::system().now();
    let request = Request {
        request_id: RequestId::from("plan"),
        tenant: TenantId::new(&asked.tenant),
        class: Class::Interactive,
        deadline: now.plus_ms(i64::try_from(config.ingress.deadlines.default.as_millis())?),
        ..relay_ingress::asked(parsed, now)
    };
    let policy = relay_planner::load(&config.planner.policy)?;
    Ok(write!(
        std::io::stdout(),
        "{}",
        relay_planner::explain(&policy, &request, asked.json)
    )?)
}
