//! Copying the file of the tables while another process has it open.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::error::{StoreError, classify};

/// The longest wait for a lock of whoever writes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Copies the tables in the file `from`, as they are at one instant, to the new file `to`, and checks the copy; it is on disk when
/// this returns. Says how many bytes it has.
///
/// # Errors
/// [`StoreError::Damaged`] where the tables are not whole; else what the disk said.
pub async fn copy(from: &Path, to: &Path) -> Result<u64, StoreError> {
    let mut source = open(from).await?;
    let vacuum = sqlx::query("VACUUM INTO ?").bind(to.to_string_lossy().into_owned());
    vacuum.execute(&mut source).await.map_err(classify)?;
    source.close().await.map_err(classify)?;
    let mut target = open(to).await?;
    let said: String = sqlx::query_scalar("PRAGMA integrity_check(1)")
        .fetch_one(&mut target)
        .await
        .map_err(classify)?;
    target.close().await.map_err(classify)?;
    if said != "ok" {
        return Err(StoreError::Damaged(format!(
            "the copy in {}: {said}",
            to.display()
        )));
    }
    // SQLite does not, after VACUUM INTO.
    let file = std::fs::File::open(to).and_then(|file| file.sync_all().and(file.metadata()));
    let file = file.map_err(|error| StoreError::Unavailable(format!("{}: {error}", to.display())))?;
    Ok(file.len())
}

async fn open(file: &Path) -> Result<SqliteConnection, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(false)
        .busy_timeout(PATIENCE);
    options.connect().await.map_err(classify)
}
