//! Makes Postgres's tables. Where one of them is gone that had been made, what is left is set aside, as a damaged `SQLite` file
//! is, and all begin anew: some would hold what others lack.

use sqlx::AssertSqlSafe;
use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgConnection;

use crate::error::{StoreError, classify, classify_migration};
use crate::migrations;
use crate::outcomes::FOLDED_TABLES;

/// The list of migrations that were run.
const RUN: &str = "_sqlx_migrations";
/// It is already there.
const DUPLICATE_TABLE: &str = "42P07";

/// Other processes, which may have met the same, wait here until the tables are made.
const LOCK: &str = "SELECT pg_advisory_lock(hashtext('relay tables'), hashtext(current_schema()))";

/// Renames what is left of `{tables}`, indexes included, within its schema: all or nothing. The newest three of each are kept. Tables
/// elsewhere in the search path are not ours to rename.
const SET_ASIDE: &str = r#"
DO $$
DECLARE
    utc CONSTANT timestamp := clock_timestamp() AT TIME ZONE 'UTC';
    suffix CONSTANT text := '_damaged_' || to_char(utc, 'YYYYMMDD"T"HH24MISSMS');
    kind text;
    left_over regclass;
    part record;
BEGIN
    FOREACH kind IN ARRAY ARRAY[{tables}] LOOP
        left_over := to_regclass(format('%I.%I', current_schema(), kind));
        CONTINUE WHEN left_over IS NULL;
        FOR part IN
            SELECT c.oid::regclass AS place, c.relname AS name
            FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = left_over
        LOOP
            EXECUTE format('ALTER INDEX %s RENAME TO %I', part.place, part.name || suffix);
        END LOOP;
        EXECUTE format('ALTER TABLE %s RENAME TO %I', left_over, kind || suffix);
        FOR part IN
            SELECT tablename AS name FROM pg_tables
            WHERE schemaname = current_schema() AND tablename ~ ('^' || kind || '_damaged_[0-9]{8}T[0-9]{9}$')
            ORDER BY tablename DESC OFFSET 3
        LOOP
            EXECUTE format('DROP TABLE %I.%I', current_schema(), part.name);
        END LOOP;
    END LOOP;
END $$"#;

/// Makes all tables, or says why not. The lock goes with the connection.
pub(super) async fn make(connection: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query(LOCK)
        .execute(&mut *connection)
        .await
        .map_err(classify)?;
    let reason = match migrations::postgres().run_direct(None, connection, false).await {
        Ok(()) => match missing(connection).await?.as_slice() {
            [] => return Ok(()),
            missing => format!("there is no {}", missing.join(", no ")),
        },
        Err(error) if is_duplicate(&error) => format!("there is no {RUN}"),
        Err(error) => return Err(classify_migration(error)),
    };
    set_aside(connection).await?;
    tracing::warn!(
        reason,
        "tables are gone that had been made: what is left of them is set aside in their schema as \"..._damaged_<time>\" (the \
         newest three are kept), and all begin anew"
    );
    let made = migrations::postgres().run_direct(None, connection, false).await;
    made.map_err(classify_migration)
}

async fn missing(connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    sqlx::query_scalar("SELECT name FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NULL")
        .bind(&FOLDED_TABLES[..])
        .fetch_all(connection)
        .await
        .map_err(classify)
}

async fn set_aside(connection: &mut PgConnection) -> Result<(), StoreError> {
    let names = FOLDED_TABLES.into_iter().chain([RUN]);
    let names: Vec<String> = names.map(|name| format!("'{name}'")).collect();
    let statement = SET_ASIDE.replace("{tables}", &names.join(", "));
    let renamed = sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await;
    renamed.map(drop).map_err(classify)
}

/// Whether a step of the migrations is said not to have been run that was.
fn is_duplicate(error: &MigrateError) -> bool {
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else {
        return false;
    };
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.is_some_and(|code| code == DUPLICATE_TABLE)
}
