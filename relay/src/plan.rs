//! `relay plan`: what the policy makes of a request, and why.

use std::io::{IsTerminal, Read, Write};
use std::path::Path;

use anyhow::{Context, bail};
use relay_schemas::{Class, Request, RequestId, TenantId};

use crate::cli::PlanRequest;
use crate::config::Config;

/// Names standard input where a file may be named.
const STANDARD_INPUT: &str = "-";

/// Prints the plan and the decision trace.
///
/// # Errors
/// Where there is no plan: the body is no request, or the policy refuses it.
pub fn run(config: &Config, asked: &PlanRequest) -> anyhow::Result<()> {
    let (from, body) = body(asked.request.as_deref())?;
    let parsed = config.ingress.rules().parse(asked.operation.into(), body);
    let parsed = parsed.map_err(|invalid| anyhow::anyhow!("no plan: {from}: {}", invalid.message))?;
    let now = relay_clock::Clock::system().now();
    let class = asked.class.into();
    let longest = match class {
        Class::Interactive => config.ingress.deadlines.default,
        Class::Batch => config.ingress.batch.window,
    };
    let request = Request {
        request_id: RequestId::from("plan"),
        tenant: TenantId::new(asked.tenant.as_str()),
        class,
        deadline: now.plus_ms(i64::try_from(longest.as_millis())?),
        ..relay_ingress::asked(parsed, now)
    };
    let policy = relay_planner::load(&config.planner.policy)?;
    let explained = relay_planner::explain(&policy, &request, asked.json);
    write!(std::io::stdout(), "{}", explained.text)?;
    match explained.refusal {
        None => Ok(()),
        Some(refusal) => bail!("no plan: {}", refusal.code),
    }
}

/// The request's body, with what people call the place that it comes from.
fn body(file: Option<&Path>) -> anyhow::Result<(String, Vec<u8>)> {
    let mut input = std::io::stdin();
    let body = match file {
        Some(file) if file != Path::new(STANDARD_INPUT) => {
            let name = file.display().to_string();
            let body = std::fs::read(file).with_context(|| format!("cannot read {name}"))?;
            return Ok((name, body));
        }
        None if input.is_terminal() => {
            bail!("there is no request to plan: name a file with its body, --request FILE, or pipe it in")
        }
        _ => {
            let mut body = Vec::new();
            input
                .read_to_end(&mut body)
                .context("cannot read standard input")?;
            body
        }
    };
    if body.trim_ascii().is_empty() {
        bail!(
            "there is no request to plan: standard input is empty; pipe a body in, or name a file with one, --request FILE"
        );
    }
    Ok(("standard input".to_owned(), body))
}
