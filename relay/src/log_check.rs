//! `relay log verify`: every byte of the embedded log, and a line for each that is wrong.

use std::io::Write;
use std::path::Path;

use anyhow::bail;
use relay_bus::embedded::{self, Checked};

use crate::cli::VerifyLog;
use crate::config::Config;
use crate::seams::{BusConfig, LOG};

/// Runs the command.
///
/// # Errors
/// Where anything is damaged, or it cannot be read.
pub fn verify(config: &Config, asked: &VerifyLog) -> anyhow::Result<()> {
    let folder = match &asked.folder {
        Some(folder) => folder,
        None if matches!(config.bus, BusConfig::Embedded(_)) => &config.data,
        None => bail!("the log of this configuration is Kafka's; name the folder of an embedded one"),
    };
    // A data folder or a backup holds its log in a folder of its own.
    let below = folder.join(LOG);
    let folder = if below.is_dir() { &below } else { folder };
    let checked = embedded::check(folder)?;
    tell(&checked, folder)?;
    match checked.findings.len() {
        0 => Ok(()),
        damaged => bail!(
            "{} is damaged in {damaged} places. A gateway starts on it nevertheless: what is whole is read, and a damaged record \
             that is still to be read becomes a dead letter. What a backup holds whole comes back with `relay restore`",
            folder.display()
        ),
    }
}

/// Prints what was found, and a summary.
pub(crate) fn tell(checked: &Checked, folder: &Path) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for finding in &checked.findings {
        writeln!(out, "{finding}")?;
    }
    if let Some(torn) = &checked.torn {
        writeln!(
            out,
            "{}, byte {}: the last {} bytes are no whole batch: a gateway is writing them now, or a crash tore them; nothing of \
             them was acknowledged, and the next start cuts them off",
            torn.segment, torn.byte, torn.bytes
        )?;
    }
    writeln!(
        out,
        "{}: {} segments, {} records, {} bytes, {} damaged",
        folder.display(),
        checked.segments,
        checked.records,
        checked.bytes,
        checked.findings.len()
    )?;
    Ok(())
}
