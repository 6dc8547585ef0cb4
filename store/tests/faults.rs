//! A `SQLite` file to which happens what happens to files. Each fault is a literal case; after each the store goes on by itself.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "the contract uses the rest")]
mod samples;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use relay_clock::Clock;
use relay_store::{Advance, Folded, SqliteOptions, SqliteStore, StoreError, Tables, Verdict};
use samples::small;
use sqlx::{Connection, SqliteConnection};

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("tables/relay.sqlite")
    }

    fn store(&self) -> Tables {
        self.patient(Duration::from_secs(10))
    }

    /// What waits no longer for a lock, nor for the file to be opened.
    fn patient(&self, patience: Duration) -> Tables {
        let options = SqliteOptions {
            patience,
            ..SqliteOptions::default()
        };
        Arc::new(SqliteStore::at(&self.file(), options, Clock::system())).into()
    }

    fn set_aside(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.file().parent().unwrap()).unwrap();
        let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        files.retain(|file| {
            let name = file.to_string_lossy();
            name.contains(".damaged-") && !name.ends_with("-wal") && !name.ends_with("-shm")
        });
        files
    }
}

async fn fold(tables: &Tables, offset: i64, from: Option<i64>) -> Result<Vec<Verdict>, StoreError> {
    let to = Folded {
        next: offset + 1,
        whole_from: 0,
    };
    let advance = Advance {
        partition: 0,
        from,
        to,
    };
    let outcome = small(&offset.to_string(), 0, offset);
    tables.outcomes.fold(&[outcome], &[advance]).await
}

/// Empty, and of use.
async fn begins_anew(tables: &Tables) {
    assert_eq!(
        tables.outcomes.folded().await.unwrap().len(),
        0,
        "nothing is folded"
    );
    assert_eq!(fold(tables, 5, None).await.unwrap(), [Verdict::Won]);
    assert_eq!(tables.traces.count().await.unwrap(), 1);
    tables.database.probe().await.unwrap();
}

fn is_unavailable<T: std::fmt::Debug>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Unavailable(_)))
}

async fn lock(file: &Path) -> SqliteConnection {
    let mut other = SqliteConnection::connect(&file.to_string_lossy()).await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    other
}

#[tokio::test]
async fn a_file_that_another_process_locks_is_unavailable_in_bounded_time_and_then_goes_on() {
    let place = Place::new();
    let tables = place.patient(Duration::from_secs(3));
    fold(&tables, 0, None).await.unwrap();
    let mut other = lock(&place.file()).await;
    let folding = tokio::time::timeout(Duration::from_secs(30), fold(&tables, 1, Some(0))).await;
    assert!(is_unavailable(&folding.unwrap()), "it says so");
    assert_eq!(tables.traces.count().await.unwrap(), 1, "reading goes on");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    assert_eq!(fold(&tables, 1, Some(1)).await.unwrap(), [Verdict::Won]);
}

#[tokio::test]
async fn a_file_that_is_locked_at_the_start_is_opened_when_it_is_free() {
    let place = Place::new();
    fold(&place.store(), 0, None).await.unwrap();
    let mut other = SqliteConnection::connect(&place.file().to_string_lossy())
        .await
        .unwrap();
    sqlx::raw_sql(
        "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; UPDATE folded SET whole_from = 1; COMMIT",
    )
    .execute(&mut other)
    .await
    .unwrap();
    let tables = place.patient(Duration::from_secs(3));
    let first = fold(&tables, 1, Some(1)).await;
    assert!(is_unavailable(&first), "{first:?}");
    other.close().await.unwrap();
    assert_eq!(fold(&tables, 1, Some(1)).await.unwrap(), [Verdict::Won]);
    assert_eq!(place.set_aside().len(), 0);
}

#[tokio::test]
async fn a_file_that_is_deleted_while_it_is_open_begins_anew() {
    let place = Place::new();
    let tables = place.store();
    fold(&tables, 0, None).await.unwrap();
    std::fs::remove_file(place.file()).unwrap();
    let lost = fold(&tables, 1, Some(1)).await;
    assert!(
        matches!(lost, Err(StoreError::Moved)),
        "no row goes where nobody finds it: {lost:?}"
    );
    begins_anew(&tables).await;
    drop(tables);
    assert_eq!(
        place.store().traces.count().await.unwrap(),
        1,
        "it lies in the new file"
    );
}

#[tokio::test]
async fn a_write_ahead_log_that_is_cut_off_while_it_is_open_loses_no_more_than_the_tables() {
    let place = Place::new();
    let tables = place.store();
    fold(&tables, 0, None).await.unwrap();
    let log = place.file().with_extension("sqlite-wal");
    let log = std::fs::File::options().write(true).open(log).unwrap();
    log.set_len(0).unwrap();
    // Each call that meets the damage says so; a few of them are enough.
    for _ in 0..4 {
        let _ = fold(&tables, 1, Some(1)).await;
        let _ = tables.traces.count().await;
    }
    let next = tables.outcomes.folded().await.unwrap().get(&0).map(|at| at.next);
    fold(&tables, next.unwrap_or(5), next).await.unwrap();
    tables.database.probe().await.unwrap();
}

#[tokio::test]
async fn a_table_that_is_dropped_is_a_loss_of_all_and_begins_anew() {
    let place = Place::new();
    let tables = place.store();
    fold(&tables, 0, None).await.unwrap();
    let mut other = SqliteConnection::connect(&place.file().to_string_lossy())
        .await
        .unwrap();
    sqlx::raw_sql("DROP TABLE folded")
        .execute(&mut other)
        .await
        .unwrap();
    other.close().await.unwrap();
    let lost = fold(&tables, 1, Some(1)).await;
    assert!(is_unavailable(&lost), "{lost:?}");
    begins_anew(&tables).await;
    assert_eq!(place.set_aside().len(), 1, "what is left of it is kept");
}

#[tokio::test]
async fn a_folder_that_is_deleted_while_the_file_is_open_is_made_anew() {
    let place = Place::new();
    let tables = place.store();
    fold(&tables, 0, None).await.unwrap();
    std::fs::remove_dir_all(place.file().parent().unwrap()).unwrap();
    begins_anew(&tables).await;
}

#[tokio::test]
async fn a_file_that_is_restored_while_it_is_open_says_where_it_stands() {
    let place = Place::new();
    let tables = place.store();
    fold(&tables, 0, None).await.unwrap();
    let backup = place.folder.path().join("backup.sqlite");
    let mut other = SqliteConnection::connect(&place.file().to_string_lossy())
        .await
        .unwrap();
    let vacuum = sqlx::query("VACUUM INTO ?").bind(backup.to_string_lossy().into_owned());
    vacuum.execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    fold(&tables, 1, Some(1)).await.unwrap();
    std::fs::rename(&backup, place.file()).unwrap();
    let ahead = fold(&tables, 2, Some(2)).await;
    assert!(matches!(ahead, Err(StoreError::Moved)), "{ahead:?}");
    assert_eq!(tables.outcomes.folded().await.unwrap()[&0].next, 1);
    assert_eq!(fold(&tables, 1, Some(1)).await.unwrap(), [Verdict::Won]);
}

#[tokio::test]
async fn a_file_that_is_damaged_at_the_start_is_set_aside() {
    for garbage in [
        &b"this is no database, whoever wrote it meant something else"[..],
        &[0; 8_192],
    ] {
        let place = Place::new();
        std::fs::create_dir_all(place.file().parent().unwrap()).unwrap();
        std::fs::write(place.file(), garbage).unwrap();
        let tables = place.store();
        begins_anew(&tables).await;
        let aside = place.set_aside();
        assert_eq!(aside.len(), 1, "{aside:?}");
        assert_eq!(
            std::fs::read(&aside[0]).unwrap(),
            garbage,
            "nothing of it is lost"
        );
    }
}

#[tokio::test]
async fn a_file_with_a_damaged_page_at_the_start_is_set_aside_when_it_is_met() {
    let place = Place::new();
    let tables = place.store();
    fold(&tables, 0, None).await.unwrap();
    drop(tables);
    checkpointed(&place.file()).await;
    let mut bytes = std::fs::read(place.file()).unwrap();
    let pages = bytes.len() / 4_096;
    for page in 1..pages {
        bytes[page * 4_096..(page + 1) * 4_096].fill(0xA5);
    }
    std::fs::write(place.file(), bytes).unwrap();
    let tables = place.store();
    let mut met = fold(&tables, 1, Some(1)).await;
    if is_unavailable(&met) {
        met = fold(&tables, 1, Some(1)).await;
    }
    assert!(matches!(met, Err(StoreError::Moved)), "{met:?}");
    begins_anew(&tables).await;
    assert_eq!(place.set_aside().len(), 1);
}

/// Before, a look at the file closed it, and with that all locks of `SQLite` on it were gone.
#[tokio::test]
async fn a_look_at_the_file_from_outside_leaves_the_write_ahead_log_where_it_is() {
    let place = Place::new();
    let tables = place.store();
    fold(&tables, 0, None).await.unwrap();
    // The first one opens what the second looks beside.
    for _ in 0..2 {
        tables.database.probe().await.unwrap();
    }
    let look = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('select count(*) from request_traces').fetchone()[0])";
    let mut python = std::process::Command::new("python3");
    let looked = python.arg("-c").arg(look).arg(place.file()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&looked.stdout).trim(), "1", "{looked:?}");
    tables.database.probe().await.unwrap();
    let log = place.file().with_file_name(format!(
        "{}-wal",
        place.file().file_name().unwrap().to_string_lossy()
    ));
    assert!(log.exists(), "it is still ours");
    fold(&tables, 1, Some(1)).await.unwrap();
    assert!(place.set_aside().is_empty());
}

#[tokio::test]
async fn a_file_that_is_overwritten_while_it_is_open_is_set_aside_at_the_next_look() {
    let place = Place::new();
    let tables = place.store();
    fold(&tables, 0, None).await.unwrap();
    checkpointed(&place.file()).await;
    std::fs::write(
        place.file(),
        "garbage where the tables were, and not a little of it",
    )
    .unwrap();
    tables.database.probe().await.unwrap();
    begins_anew(&tables).await;
    assert_eq!(place.set_aside().len(), 1);
}

#[tokio::test]
async fn a_file_that_is_cut_while_it_is_open_is_set_aside() {
    let place = Place::new();
    let tables = place.store();
    for offset in 0..200 {
        fold(&tables, offset, (offset > 0).then_some(offset))
            .await
            .unwrap();
    }
    checkpointed(&place.file()).await;
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(place.file())
        .unwrap();
    file.set_len(8_192).unwrap();
    let mut met = Ok(Vec::new());
    for offset in 200..260 {
        met = fold(&tables, offset, Some(offset)).await;
        if met.is_err() {
            break;
        }
        // What is in memory may hide it for a while.
        let _ = tables.traces.count().await;
    }
    assert!(met.is_err(), "it is met");
    begins_anew(&tables).await;
    assert_eq!(place.set_aside().len(), 1);
}

#[tokio::test]
async fn a_file_that_cannot_be_made_is_unavailable_until_it_can() {
    let place = Place::new();
    let folder = place.file().parent().unwrap().to_owned();
    std::fs::write(&folder, "a file where a folder belongs").unwrap();
    let tables = place.store();
    let probed = tables.database.probe().await;
    assert!(is_unavailable(&probed), "{probed:?}");
    std::fs::remove_file(&folder).unwrap();
    begins_anew(&tables).await;
}

#[tokio::test]
async fn a_copy_made_while_folding_goes_on_is_whole_and_says_where_it_stands() {
    let place = Place::new();
    let store = Arc::new(SqliteStore::at(
        &place.file(),
        SqliteOptions::default(),
        Clock::system(),
    ));
    let tables: Tables = store.clone().into();
    for offset in 0..50 {
        fold(&tables, offset, (offset > 0).then_some(offset))
            .await
            .unwrap();
    }
    let copy = place.folder.path().join("copy/relay.sqlite");
    std::fs::create_dir(copy.parent().unwrap()).unwrap();
    let folding = async {
        for offset in 50..100 {
            fold(&tables, offset, Some(offset)).await.unwrap();
        }
    };
    let (copied, ()) = tokio::join!(store.copy_to(&copy), folding);
    copied.unwrap();
    let restored: Tables = Arc::new(SqliteStore::open(&copy).await.unwrap()).into();
    let next = restored.outcomes.folded().await.unwrap()[&0].next;
    assert!((50..=100).contains(&next), "{next}");
    assert_eq!(
        restored.traces.count().await.unwrap(),
        next as u64,
        "rows and position are of one moment"
    );
    assert!(store.copy_to(&copy).await.is_err(), "nothing is written over");
}

async fn checkpointed(file: &Path) {
    let mut other = SqliteConnection::connect(&file.to_string_lossy()).await.unwrap();
    sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        .execute(&mut other)
        .await
        .unwrap();
    other.close().await.unwrap();
}
