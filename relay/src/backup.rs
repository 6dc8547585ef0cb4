//! `relay backup` and `relay restore`: the log and the tables, copied from a data folder and back into one, and read through.
//!
//! A backup is laid out as a data folder is. The tables are copied first: they know how far the log was folded into them, and a
//! log that is a little newer is simply folded on from there.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use relay_bus::embedded;
use relay_clock::Clock;
use relay_store::copy_sqlite;

use crate::config::Config;
use crate::log_check;
use crate::seams::{BusConfig, LOG, StoreConfig, TABLES};

/// What is copied stands here until all of it is on disk, so that half a copy never passes for a whole one.
const INCOMPLETE: &str = "incomplete";
/// What a fresh file system holds.
const LOST_AND_FOUND: &str = "lost+found";

/// Copies what the data folder holds to `folder`, also while a gateway runs.
///
/// # Errors
/// Where `folder` is not empty, there is nothing to copy, or the disk fails.
pub async fn backup(config: &Config, folder: &Path) -> anyhow::Result<()> {
    embedded_only(config)?;
    let data = &config.data;
    ensure!(
        data.join(LOG).is_dir(),
        "there is no log in the data folder {} (`data`, --data): nothing to back up",
        data.display()
    );
    ensure_empty(
        folder,
        "a backup goes into a folder that is empty or not there yet",
    )?;
    copy(data, folder).await?;
    if matches!(config.store, StoreConfig::Postgres(_)) {
        let note = "the tables are in Postgres: back them up with its own tools, before the log";
        writeln!(io::stdout(), "{note}")?;
    }
    Ok(())
}

/// Copies a backup into the data folder.
///
/// # Errors
/// Where `folder` holds no whole backup, the data folder is not empty, or the disk fails.
pub async fn restore(config: &Config, folder: &Path) -> anyhow::Result<()> {
    embedded_only(config)?;
    ensure!(
        folder.join(LOG).is_dir(),
        "{} holds no whole backup: there is no folder `{LOG}` in it",
        folder.display()
    );
    ensure_empty(
        &config.data,
        "a backup comes back into an empty data folder: stop the gateway and move the folder away, or choose another with --data",
    )?;
    copy(folder, &config.data).await
}

fn embedded_only(config: &Config) -> anyhow::Result<()> {
    match &config.bus {
        BusConfig::Embedded(_) => Ok(()),
        BusConfig::Kafka(_) => bail!(
            "the log of this configuration is Kafka's, which keeps replicas of its own; `relay backup` and `relay restore` are for \
             `bus: {{kind: embedded}}`"
        ),
    }
}

fn ensure_empty(folder: &Path, why: &str) -> anyhow::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(|| folder.display().to_string())?,
    };
    for entry in entries {
        let name = entry?.file_name();
        ensure!(
            name == LOST_AND_FOUND,
            "{} is not empty, it holds `{}`; {why}",
            folder.display(),
            name.display()
        );
    }
    Ok(())
}

async fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let clock = Clock::system();
    let begin = clock.instant();
    let incomplete = to.join(INCOMPLETE);
    fs::create_dir_all(&incomplete).with_context(|| incomplete.display().to_string())?;
    let tables = from.join(TABLES);
    let tables = if tables.exists() {
        let copied = copy_sqlite(&tables, &incomplete.join(TABLES)).await;
        copied.with_context(|| format!("copying {}", tables.display()))?
    } else {
        0
    };
    let log = embedded::copy(&from.join(LOG), &incomplete.join(LOG))?;
    let checked = embedded::check(&incomplete.join(LOG))?;
    complete(to)?;
    log_check::tell(&checked, &to.join(LOG))?;
    writeln!(
        io::stdout(),
        "copied in {:.1} s: {} bytes of log in {} segments, {tables} bytes of tables",
        clock.since(begin).as_secs_f64(),
        log.bytes,
        log.segments
    )?;
    ensure!(
        checked.findings.is_empty(),
        "the copy is complete, and the log is damaged in the {} places above, here as in {}; a gateway starts on it nevertheless",
        checked.findings.len(),
        from.join(LOG).display()
    );
    Ok(())
}

/// Puts what was copied in its place: the log last, since nothing counts without it.
fn complete(to: &Path) -> anyhow::Result<()> {
    let incomplete = to.join(INCOMPLETE);
    for name in [TABLES, LOG] {
        match fs::rename(incomplete.join(name), to.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| to.join(name).display().to_string());
            }
            _ => sync(to)?,
        }
    }
    fs::remove_dir_all(&incomplete).with_context(|| incomplete.display().to_string())?;
    sync(to)
}

fn sync(folder: &Path) -> anyhow::Result<()> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.with_context(|| format!("syncing {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(asked: impl Future<Output = anyhow::Result<()>>) -> String {
        format!("{:#}", asked.await.expect_err("it is refused"))
    }

    #[tokio::test]
    async fn what_is_not_empty_is_never_copied_into_and_what_is_no_backup_never_restored() {
        let place = tempfile::tempdir().expect("a folder");
        let folder = place.path().join("backup");
        let config = Config {
            data: place.path().join("data"),
            ..Config::default()
        };
        let nothing = refused(backup(&config, &folder)).await;
        assert!(nothing.contains("nothing to back up"), "{nothing}");
        let none = refused(restore(&config, &folder)).await;
        assert!(none.contains("holds no whole backup"), "{none}");
        fs::create_dir_all(config.data.join(LOG)).expect("a log");
        fs::create_dir_all(folder.join(LOG)).expect("a backup");
        let full = refused(backup(&config, &folder)).await;
        assert!(full.contains("not empty, it holds `log`"), "{full}");
        let full = refused(restore(&config, &folder)).await;
        assert!(full.contains("choose another with --data"), "{full}");
    }
}
