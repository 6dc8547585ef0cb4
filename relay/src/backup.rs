//! `relay backup` and `relay restore`: the log and the tables, copied from a data folder and back into one, and read through.
//!
//! A backup is laid out as a data folder is. The tables are copied first: they know how far the log was folded into them, and a
//! log that is a little newer is simply folded on from there.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use relay_bus::embedded::{self, Checked, Copied};
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

/// What was copied.
struct Whole {
    tables: u64,
    log: Copied,
    checked: Checked,
}

async fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let clock = Clock::system();
    let begin = clock.instant();
    let Whole { tables, log, checked } = match whole(from, to).await {
        Ok(whole) => whole,
        Err(error) => return Err(undone(to, error)),
    };
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

/// Copies all of it, reads it through and puts it in its place.
async fn whole(from: &Path, to: &Path) -> anyhow::Result<Whole> {
    let incomplete = to.join(INCOMPLETE);
    fs::create_dir_all(&incomplete).with_context(|| incomplete.display().to_string())?;
    let tables = from.join(TABLES);
    let has_tables = tables
        .try_exists()
        .with_context(|| tables.display().to_string())?;
    let tables = if has_tables {
        let copied = copy_sqlite(&tables, &incomplete.join(TABLES)).await;
        copied.with_context(|| format!("copying {}", tables.display()))?
    } else {
        0
    };
    let log = embedded::copy(&from.join(LOG), &incomplete.join(LOG))?;
    let checked = embedded::check(&incomplete.join(LOG))?;
    complete(to, has_tables)?;
    Ok(Whole { tables, log, checked })
}

/// Takes away what a copy that failed has left: half a copy is none, and says so nowhere else.
fn undone(to: &Path, error: anyhow::Error) -> anyhow::Error {
    let is_left =
        |removed: io::Result<()>| removed.is_err_and(|error| error.kind() != io::ErrorKind::NotFound);
    let left = [
        is_left(fs::remove_dir_all(to.join(LOG))),
        is_left(fs::remove_dir_all(to.join(INCOMPLETE))),
        is_left(fs::remove_file(to.join(TABLES))),
    ];
    let to = to.display();
    error.context(if left.contains(&true) {
        format!(
            "nothing was copied, and what is left in {to} cannot be removed: empty it before the next try"
        )
    } else {
        format!("nothing was copied, and {to} is empty again")
    })
}

/// Puts what was copied in its place: the log last, since nothing counts without it.
fn complete(to: &Path, has_tables: bool) -> anyhow::Result<()> {
    let incomplete = to.join(INCOMPLETE);
    for name in [TABLES, LOG].into_iter().skip(usize::from(!has_tables)) {
        let renamed = fs::rename(incomplete.join(name), to.join(name));
        renamed.with_context(|| to.join(name).display().to_string())?;
        sync(to)?;
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
    use relay_bus::topics::Manifest;
    use relay_bus::{EmbeddedBus, EmbeddedOptions};

    use super::*;

    /// A data folder with a log in it.
    fn with_log(data: &Path) {
        let manifest = Manifest::parse("pools: [default]\ntopics: []").expect("a manifest");
        let options = EmbeddedOptions::default();
        EmbeddedBus::open(data.join(LOG), &manifest, options, &Clock::system()).expect("a log");
    }

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

    #[tokio::test]
    async fn a_copy_that_fails_is_told_and_leaves_nothing_that_looks_like_one() {
        let place = tempfile::tempdir().expect("a folder");
        let folder = place.path().join("backup");
        let config = Config {
            data: place.path().join("data"),
            ..Config::default()
        };
        with_log(&config.data);
        let tables = config.data.join(TABLES);
        fs::write(&tables, "no database").expect("a file");
        let told = refused(backup(&config, &folder)).await;
        assert!(
            told.contains("nothing was copied") && told.contains(TABLES),
            "{told}"
        );
        fs::remove_file(&tables).expect("it is there");
        // It can be read, and not be synced.
        let unsynced = config.data.join(LOG).join("00000000000000000000.seg");
        std::os::unix::fs::symlink("/dev/null", &unsynced).expect("a link");
        let told = refused(backup(&config, &folder)).await;
        assert!(
            told.contains("nothing was copied") && told.contains("copying the log"),
            "{told}"
        );
        assert_eq!(fs::read_dir(&folder).expect("the target").count(), 0);
        fs::remove_file(&unsynced).expect("it is there");
        backup(&config, &folder)
            .await
            .expect("the same folder can be used again");
        assert!(folder.join(LOG).is_dir() && !folder.join(INCOMPLETE).exists());
    }

    #[tokio::test]
    async fn a_segment_that_cannot_be_copied_is_named() {
        let place = tempfile::tempdir().expect("a folder");
        with_log(place.path());
        let log = place.path().join(LOG);
        // It can be read, and not be synced.
        let oldest = "00000000000000000000.seg";
        std::os::unix::fs::symlink("/dev/null", log.join(oldest)).expect("a link");
        let copied = embedded::copy(&log, &place.path().join("copy"));
        let told = copied.expect_err("it cannot be copied").to_string();
        assert!(told.contains(oldest) && !told.contains("faster"), "{told}");
    }
}
