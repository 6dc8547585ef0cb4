//! Which errors waiting mends, which lie in the data, and which need a person.

use relay_settings::TlsFault;
use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached: wait.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// It cannot hold this data, and never will: nothing of the call was stored.
    #[error("the store refuses the data: {0}")]
    Refused(String),
    /// What it holds is damaged.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The tables stand elsewhere than the fold that was to follow: nothing of it was stored.
    #[error("the tables are folded up to elsewhere than was known")]
    Moved,
    /// Nothing that waiting mends.
    #[error("the store failed: {0}")]
    Fatal(String),
}

enum Class {
    Damaged,
    Unavailable,
    Refused,
    Fatal,
}

/// What an error of either database means.
#[expect(clippy::needless_pass_by_value, reason = "`map_err` hands it over")]
pub(crate) fn classify(error: sqlx::Error) -> StoreError {
    use sqlx::Error as E;
    let class = match &error {
        E::Database(database) if lacks_a_table(&**database) => Class::Damaged,
        E::Database(database) => of_code(&database.code().unwrap_or_default()),
        E::Io(_)
        | E::Tls(_)
        | E::Protocol(_)
        | E::PoolTimedOut
        | E::PoolClosed
        | E::WorkerCrashed
        | E::BeginFailed
        | E::InvalidSavePointStatement => Class::Unavailable,
        E::Encode(_) => Class::Refused,
        _ => Class::Fatal,
    };
    let reason = match &error {
        E::PoolTimedOut => {
            "no connection in time: the server is away, or all connections are taken".to_owned()
        }
        other => format!("{other}{}", cure(other)),
    };
    match class {
        Class::Unavailable => StoreError::Unavailable(reason),
        Class::Refused => StoreError::Refused(reason),
        Class::Damaged => StoreError::Damaged(reason),
        Class::Fatal => StoreError::Fatal(reason),
    }
}

/// What mends a connection that Postgres does not let in, where that stands in the URL.
fn cure(error: &sqlx::Error) -> String {
    use sqlx::Error as E;
    match error {
        E::Io(io) if io.kind() == std::io::ErrorKind::NotFound => {
            "; if the URL names `sslrootcert`, `sslcert` and `sslkey`, these files must be there".to_owned()
        }
        E::Io(_) | E::Tls(_) => TlsFault::of(&error.to_string()).map_or_else(String::new, |fault| {
            format!(
                "; {}",
                fault.words("the URL's `sslrootcert`", "the URL's `sslcert` and `sslkey`")
            )
        }),
        E::Database(database)
            if database
                .code()
                .is_some_and(|code| code.len() == 5 && code.starts_with("28")) =>
        {
            "; mend user, password, `sslmode`, `sslcert` and `sslkey` of the URL".to_owned()
        }
        _ => String::new(),
    }
}

/// Whether the `SQLite` file has lost a table (which was dropped, or stood in a write-ahead log that was cut off), or one that its list
/// of migrations does not know: waiting mends neither.
fn lacks_a_table(error: &dyn DatabaseError) -> bool {
    let message = error.message();
    error.code().is_some_and(|code| code == "1")
        && (message.starts_with("no such table") || message.ends_with("already exists"))
}

/// Whether connections to a `SQLite` file may be of no use after `error`; those that meet a lock, or bad data, are as they were.
pub(crate) fn taints(error: &sqlx::Error) -> bool {
    use sqlx::Error as E;
    match error {
        E::Database(database) => {
            let code = database.code().unwrap_or_default().parse::<u32>();
            // busy, locked; too big, constraint, mismatch, range
            !matches!(code.map(|code| code & 0xFF), Ok(5 | 6 | 18 | 19 | 20 | 25))
        }
        E::PoolTimedOut | E::RowNotFound | E::Encode(_) | E::Decode(_) | E::ColumnDecode { .. } => false,
        _ => true,
    }
}

/// What an error of a migration means.
pub(crate) fn classify_migration(error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => classify(error),
        other => StoreError::Fatal(format!("migration: {other}")),
    }
}

/// What a row means that is not what this build wrote; no waiting mends it.
pub(crate) fn unreadable(reason: impl std::fmt::Display) -> StoreError {
    StoreError::Fatal(format!("an unreadable row: {reason}"))
}

/// Postgres has five characters (SQLSTATE), `SQLite` a number.
fn of_code(code: &str) -> Class {
    match code.parse::<u32>() {
        // A short read: the file ends before its tables do.
        Ok(522) => Class::Damaged,
        Ok(number) if code.len() < 5 => of_sqlite(number & 0xFF),
        _ => of_sqlstate(code),
    }
}

fn of_sqlite(primary: u32) -> Class {
    match primary {
        // busy, locked, read-only, I/O error, full, cannot open
        5 | 6 | 8 | 10 | 13 | 14 => Class::Unavailable,
        // too big, constraint, mismatch, range
        18 | 19 | 20 | 25 => Class::Refused,
        // malformed, not a database
        11 | 26 => Class::Damaged,
        _ => Class::Fatal,
    }
}

fn of_sqlstate(code: &str) -> Class {
    // A standby after a failover; a lock that was not free in time.
    if matches!(code, "25006" | "55P03") {
        return Class::Unavailable;
    }
    // Damaged data, a damaged index.
    if matches!(code, "XX001" | "XX002") {
        return Class::Damaged;
    }
    match code.get(..2) {
        // connection, authorization, no such database (yet), rollback, resources, operator, system
        Some("08" | "28" | "3D" | "40" | "53" | "57" | "58") => Class::Unavailable,
        // data exception, integrity constraint, limit exceeded
        Some("22" | "23" | "54") => Class::Refused,
        _ => Class::Fatal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_mean_waiting_bad_data_or_a_person() {
        let cases = [
            ("57P01", "wait"),
            ("53300", "wait"),
            ("40001", "wait"),
            ("25006", "wait"),
            ("22P05", "data"),
            ("54000", "data"),
            ("42P01", "person"),
            ("5", "wait"),
            ("517", "wait"),
            ("13", "wait"),
            ("18", "data"),
            ("1555", "data"),
            ("1", "person"),
            ("11", "damage"),
            ("267", "damage"),
            ("26", "damage"),
            ("522", "damage"),
            ("266", "wait"),
            ("XX001", "damage"),
            ("", "person"),
        ];
        for (code, expected) in cases {
            let meaning = match of_code(code) {
                Class::Unavailable => "wait",
                Class::Refused => "data",
                Class::Damaged => "damage",
                Class::Fatal => "person",
            };
            assert_eq!(meaning, expected, "{code}");
        }
    }
}
