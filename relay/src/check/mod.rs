//! `relay check`: every mistake of an installation's files at once, without starting anything. The same at each start, before the log
//! is opened.

mod answerable;
mod connect;
mod files;
mod models;
mod pools;
mod rules;
mod servers;
#[cfg(test)]
mod tests;

use std::io::Write;

use crate::cli::{Check, Settings};
use crate::config::Config;
use crate::findings::{Finding, Findings, Grade};
use crate::hosted::Hosted;
use crate::load::{self, Loaded};

/// The configuration of the services that are to start.
///
/// # Errors
/// [`Findings`]: all that keeps it from working. What it can go on without is told by `/readyz` and in the log.
pub(crate) fn start(settings: &Settings, hosted: &Hosted) -> anyhow::Result<Config> {
    let (config, findings) = refused(load::read(settings), hosted);
    if findings.is_empty() {
        return Ok(config);
    }
    Err(Findings(findings).into())
}

/// The configuration, and what keeps it from starting.
pub(crate) fn refused(loaded: Loaded, hosted: &Hosted) -> (Config, Vec<Finding>) {
    let mut checked = files::check(loaded, hosted);
    checked.findings.retain(|finding| finding.grade == Grade::Refused);
    (checked.config, checked.findings)
}

/// The command.
///
/// # Errors
/// [`Findings`]: all that is wrong.
pub(crate) fn run(asked: &Check) -> anyhow::Result<()> {
    let hosted = asked.service.clone().unwrap_or_else(Hosted::all);
    let files::Checked {
        config,
        models,
        good,
        mut findings,
        is_read,
    } = files::check(load::read(&asked.settings), &hosted);
    let mut out = std::io::stdout().lock();
    for line in good {
        writeln!(out, "{line}")?;
    }
    if asked.connect && is_read {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let reached = runtime.block_on(connect::all(&config, &models, &hosted, *asked.timeout));
        // A client that still tries must not keep the answer.
        runtime.shutdown_background();
        for reached in reached {
            match reached {
                Ok(line) => writeln!(out, "{line}")?,
                Err(finding) => findings.push(finding),
            }
        }
    }
    if findings.is_empty() {
        return Ok(writeln!(out, "No mistake was found.")?);
    }
    Err(Findings(findings).into())
}
