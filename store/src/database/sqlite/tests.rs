//! Connections of which a failed write has left something behind.

use relay_schemas::TimestampMs;

use super::*;
use crate::{Advance, Folded, Outcomes, Traces};

struct Place {
    store: SqliteStore,
    folder: tempfile::TempDir,
}

impl Place {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteOptions {
            patience: Duration::from_secs(5),
            ..SqliteOptions::default()
        };
        let store = SqliteStore::at(&folder.path().join("relay.sqlite"), options, Clock::system());
        let place = Self { store, folder };
        place.advances(0).await.unwrap();
        place
    }

    /// Folds nothing, from `from` on.
    async fn advances(&self, from: i64) -> Result<(), StoreError> {
        let to = Folded {
            next: from + 1,
            whole_from: 0,
        };
        let advance = Advance {
            partition: 0,
            from: (from > 0).then_some(from),
            to,
        };
        self.store.fold(&[], &[advance]).await.map(drop)
    }

    async fn pragma(&self, pragma: &'static str) {
        let opened = self.store.opened().await.unwrap();
        sqlx::raw_sql(pragma).execute(&opened.writer).await.unwrap();
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self.folder.path()).unwrap().count()
    }
}

/// Found by an attacker: one failed write, and the tables were away until a restart.
#[tokio::test]
async fn a_transaction_that_could_not_be_rolled_back_costs_its_connection_only() {
    let place = Place::new().await;
    let opened = place.store.opened().await.unwrap();
    let mut writing = opened.writer.begin_with("BEGIN IMMEDIATE").await.unwrap();
    // As `SQLite` does by itself where a write fails.
    sqlx::raw_sql("ROLLBACK").execute(&mut *writing).await.unwrap();
    drop(writing);
    drop(opened);
    let failed = place.advances(1).await;
    assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
    place.advances(1).await.unwrap();
    assert_eq!(place.store.folded().await.unwrap()[&0].next, 2);
}

#[tokio::test]
async fn a_file_that_was_full_once_is_written_on_when_there_is_room() {
    let place = Place::new().await;
    let opened = place.store.opened().await.unwrap();
    place.pragma("PRAGMA max_page_count = 1").await;
    let large = format!(
        "INSERT INTO winners (request_id, log_partition, log_offset, ended_at) VALUES ('{}', 0, 0, 0)",
        "r".repeat(100_000)
    );
    let mut writing = opened.writer.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let full = sqlx::raw_sql(sqlx::AssertSqlSafe(large))
        .execute(&mut *writing)
        .await;
    drop(writing);
    let full = place.store.settled(&opened, full).await;
    assert!(matches!(full, Err(StoreError::Unavailable(_))), "{full:?}");
    place.advances(1).await.unwrap();
}

#[tokio::test]
async fn a_file_that_could_only_be_read_is_opened_again() {
    let place = Place::new().await;
    place.pragma("PRAGMA query_only = ON").await;
    let failed = place.advances(1).await;
    assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
    place.advances(1).await.unwrap();
}

#[tokio::test]
async fn a_lock_of_another_process_closes_nothing() {
    let place = Place::new().await;
    let before = place.store.opened().await.unwrap();
    let other = SqliteConnectOptions::new().filename(&place.store.path);
    let mut other = other.connect().await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    let locked = place.advances(1).await;
    assert!(matches!(locked, Err(StoreError::Unavailable(_))), "{locked:?}");
    assert!(Arc::ptr_eq(&before, &place.store.opened().await.unwrap()));
}

#[tokio::test]
async fn a_file_that_lacks_a_table_is_set_aside_and_begins_anew() {
    for table in ["folded", "winners", "request_traces", "_sqlx_migrations"] {
        let place = Place::new().await;
        place.pragma(&*format!("DROP TABLE {table}").leak()).await;
        let files = place.files();
        // The list of migrations is missed only when the file is opened again.
        place
            .store
            .give_up(&place.store.opened().await.unwrap(), None)
            .await
            .unwrap();
        for _ in 0..2 {
            let _ = place.store.folded().await;
            let _ = place.store.forget_before(TimestampMs(0)).await;
            let _ = place.store.count().await;
        }
        assert_eq!(place.store.folded().await.unwrap().len(), 0, "{table}");
        place.advances(0).await.unwrap();
        assert_eq!(place.store.count().await.unwrap(), 0);
        assert!(place.files() > files, "{table}: it is kept");
    }
}
