//! `migrations/`, compiled in: one file a step, never changed once released.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

type Step = (i64, &'static str, &'static str);

const POSTGRES: &[Step] = &[
    (
        1,
        "request traces",
        include_str!("../../migrations/postgres/0001_request_traces.sql"),
    ),
    (
        2,
        "folded",
        include_str!("../../migrations/postgres/0002_folded.sql"),
    ),
    (
        3,
        "executed model",
        include_str!("../../migrations/postgres/0003_executed_model.sql"),
    ),
    (
        4,
        "whose",
        include_str!("../../migrations/postgres/0004_whose.sql"),
    ),
];

const SQLITE: &[Step] = &[
    (
        1,
        "request traces",
        include_str!("../../migrations/sqlite/0001_request_traces.sql"),
    ),
    (
        2,
        "folded",
        include_str!("../../migrations/sqlite/0002_folded.sql"),
    ),
    (
        3,
        "executed model",
        include_str!("../../migrations/sqlite/0003_executed_model.sql"),
    ),
    (4, "whose", include_str!("../../migrations/sqlite/0004_whose.sql")),
];

pub(crate) fn postgres() -> Migrator {
    migrator(POSTGRES)
}

pub(crate) fn sqlite() -> Migrator {
    migrator(SQLITE)
}

fn migrator(steps: &[Step]) -> Migrator {
    let migration = |(version, description, sql): &Step| {
        let sql = sql.into_sql_str();
        Migration::new(*version, (*description).into(), MigrationType::Simple, sql, false)
    };
    let mut migrator = Migrator::with_migrations(steps.iter().map(migration).collect());
    // A newer version of the service may have gone ahead; migrations only ever add, so this one still works.
    migrator.set_ignore_missing(true);
    migrator
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcomes::FOLDED_TABLES;

    #[test]
    fn every_table_is_emptied_before_the_log_is_folded_again() {
        for steps in [POSTGRES, SQLITE] {
            let lines = steps.iter().flat_map(|(_, _, sql)| sql.lines());
            let tables = lines.filter_map(|line| line.strip_prefix("CREATE TABLE "));
            let mut tables: Vec<&str> = tables
                .filter_map(|table| table.split([' ', '(']).next())
                .collect();
            let mut emptied = FOLDED_TABLES.to_vec();
            tables.sort_unstable();
            emptied.sort_unstable();
            assert_eq!(
                tables, emptied,
                "a table that is no fold of the log is left out here by name"
            );
        }
    }

    /// A file that nobody compiled in would never run.
    #[test]
    fn every_file_is_compiled_in() {
        for (folder, steps) in [("postgres", POSTGRES), ("sqlite", SQLITE)] {
            let folder = format!("{}/../migrations/{folder}", env!("CARGO_MANIFEST_DIR"));
            let files = std::fs::read_dir(&folder).expect("the migrations lie beside the crate");
            let mut files: Vec<String> = files
                .map(|file| file.expect("a readable folder").path())
                .map(|file| std::fs::read_to_string(file).expect("a readable file"))
                .collect();
            files.sort_unstable();
            let mut compiled: Vec<&str> = steps.iter().map(|(_, _, sql)| *sql).collect();
            compiled.sort_unstable();
            assert_eq!(files, compiled, "{folder}");
        }
    }
}
