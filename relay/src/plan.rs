//! `relay plan`: what the policy makes of a request, and why.

use std::io::Write;

use anyhow::Context;
use relay_schemas::{Class, Operation, Request, RequestId, TenantId};

use crate::cli::PlanRequest;
use crate::config::Config;

/// Prints the plan and the decision trace.
pub fn run(config: &Config, asked: &PlanRequest) -> anyhow::Result<()> {
    let path = asked.request.display().to_string();
    let body = std::fs::read(&asked.request).with_context(|| format!("cannot read {path}"))?;
    let chat = relay_ingress::chat(&body, &(&config.ingress.defaults).into());
    let chat = chat.map_err(|refusal| anyhow::anyhow!("{path}: {}", refusal.message))?;
    let now = relay_clock::Clock::system().now();
    let request = Request {
        request_id: RequestId::from("plan"),
        tenant: TenantId::new(&asked.tenant),
        class: Class::Interactive,
        model: chat.model,
        operation: Operation::Chat,
        body: chat.canonical,
        request_hash: chat.request_hash,
        stream: chat.stream,
        include_usage: chat.include_usage,
        prompt_tokens: chat.prompt_tokens,
        requested_tokens: chat.requested_tokens,
        temperature: chat.temperature,
        accepted_at: now,
        deadline: now.plus_ms(i64::try_from(config.ingress.deadlines.default.as_millis())?),
        reply_to: None,
        idempotency_key: None,
        batch: None,
    };
    let policy = relay_planner::load(&config.planner.policy)?;
    Ok(write!(
        std::io::stdout(),
        "{}",
        relay_planner::explain(&policy, &request, asked.json)
    )?)
}
