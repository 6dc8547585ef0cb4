//! The cases, a file a subject. Each takes an empty place.

pub(crate) mod database;
pub(crate) mod outcomes;
pub(crate) mod traces;

use relay_store::{LoggedOutcome, Tables, Verdict};

async fn fold(tables: &Tables, batch: &[LoggedOutcome]) -> Vec<Verdict> {
    tables.outcomes.fold(batch, &[]).await.unwrap()
}

async fn find(tables: &Tables, id: &str) -> Option<LoggedOutcome> {
    tables.traces.find(&id.into()).await.unwrap()
}
