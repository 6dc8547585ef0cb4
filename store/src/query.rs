//! What is the same for both databases: reading cells, and the list's conditions.

use sqlx::{ColumnIndex, Database, Decode, Encode, QueryBuilder, Row, Type};

use crate::columns::{Cell, Column, Kind};
use crate::{Folded, StoreError, Stored, TraceFilter, columns, winner};

/// The cells of a row that was selected with exactly these columns.
pub(crate) fn cells<'r, R>(row: &'r R, columns: &[Column]) -> Result<Vec<Cell>, sqlx::Error>
where
    R: Row,
    usize: ColumnIndex<R>,
    Option<String>: Decode<'r, R::Database> + Type<R::Database>,
    Option<i64>: Decode<'r, R::Database> + Type<R::Database>,
{
    let read = |(index, (_, kind)): (usize, &Column)| match kind {
        Kind::Number => row.try_get(index).map(Cell::Number),
        Kind::Text | Kind::Json => row.try_get(index).map(Cell::Text),
    };
    columns.iter().enumerate().map(read).collect()
}

/// The list's query: which traces, newest first.
pub(crate) fn list<D>(filter: &TraceFilter) -> QueryBuilder<D>
where
    D: Database<Arguments: Default>,
    String: for<'q> Encode<'q, D> + Type<D>,
    i64: for<'q> Encode<'q, D> + Type<D>,
{
    let columns = columns::names(&columns::SUMMARY);
    let mut query = QueryBuilder::new(format!("SELECT {columns} FROM request_traces WHERE TRUE"));
    if let Some(tenant) = &filter.tenant {
        query.push(" AND tenant = ").push_bind(tenant.as_str().to_owned());
    }
    if let Some(status) = &filter.status {
        query.push(" AND status = ").push_bind(columns::word(status));
    }
    match (filter.before, &filter.before_id) {
        (Some(before), Some(id)) => {
            query.push(" AND (ended_at, request_id) < (").push_bind(before.0);
            query.push(", ").push_bind(id.as_str().to_owned()).push(")");
        }
        (Some(before), None) => {
            query.push(" AND ended_at < ").push_bind(before.0);
        }
        (None, _) => {}
    }
    query.push(" ORDER BY ended_at DESC, request_id DESC LIMIT ");
    query.push_bind(i64::from(filter.limit.min(TraceFilter::MOST)));
    query
}

/// A row that is not what this build wrote; no waiting mends it.
pub(crate) fn unreadable(reason: impl std::fmt::Display) -> StoreError {
    StoreError::Fatal(format!("an unreadable row: {reason}"))
}

/// What the databases tell of a fold.
pub(crate) struct Upserted {
    /// Requests whose winner this batch is, and was not before.
    pub(crate) changed: std::collections::HashSet<String>,
    /// Where the winners of the others lie.
    pub(crate) others: winner::Winners,
}

impl Upserted {
    /// Candidates that did not win.
    pub(crate) fn lost<'a>(&self, candidates: &[&'a Stored]) -> Vec<&'a str> {
        let ids = candidates.iter().map(|stored| stored.outcome.request_id.as_str());
        ids.filter(|id| !self.changed.contains(*id)).collect()
    }

    /// Candidates that won.
    pub(crate) fn won<'a>(&self, candidates: &[&'a Stored]) -> Vec<&'a Stored> {
        let candidates = candidates.iter().copied();
        let won = |stored: &&Stored| self.changed.contains(stored.outcome.request_id.as_str());
        candidates.filter(won).collect()
    }

    /// What each record of the batch turned out to be.
    pub(crate) fn judge(mut self, batch: &[Stored], candidates: &[&Stored]) -> Vec<Folded> {
        for stored in self.won(candidates) {
            let id = stored.outcome.request_id.as_str().to_owned();
            self.others.insert(id, winner::place(stored));
        }
        winner::judge(batch, &self.others, &self.changed)
    }
}
