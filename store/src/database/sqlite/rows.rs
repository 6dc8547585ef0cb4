//! Statements over many rows, for batches of every size.
//!
//! Each statement goes to the connection's thread and comes back from it, which costs more than the row that it writes: so a batch is
//! one statement. A statement has its number of rows in its text, and preparing one costs more than running it: so there are few of
//! them, with room for twice as many rows as the one before, and what a batch leaves over in one is NULL, which the statement passes over.
//!
//! What writes says `OR FAIL`. A statement over several rows that may be undone by itself (`OR ABORT`, `OR REPLACE`, `RETURNING`) keeps a
//! copy of every page that it changes until it is through; a fold that fails is rolled back whole.

use std::sync::Arc;

use sqlx::AssertSqlSafe;

/// Rows that a statement has room for. A prepared one holds some 2 KiB of memory a row.
const SIZES: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];

/// A statement over rows, in all of its sizes.
pub(crate) struct RowStatement([(usize, Arc<str>); SIZES.len()]);

impl RowStatement {
    /// The statement that `text` makes of its rows, each of so many `columns`, which are called `column1`, `column2` and so on. The
    /// values that are not bound to it are NULL.
    pub(crate) fn new(columns: usize, text: impl Fn(&str) -> String) -> Self {
        let row = format!("({})", vec!["?"; columns].join(", "));
        Self(SIZES.map(|size| {
            let rows = vec![row.as_str(); size].join(", ");
            (size, text(&format!("(VALUES {rows})")).into())
        }))
    }

    /// `rows` in as few pieces as it takes, each with the statement that takes it.
    pub(crate) fn pieces<'a, T>(
        &self,
        rows: &'a [T],
    ) -> impl Iterator<Item = (AssertSqlSafe<Arc<str>>, &'a [T])> {
        rows.chunks(SIZES[SIZES.len() - 1]).map(|piece| {
            let fits = self.0.iter().find(|(size, _)| *size >= piece.len());
            let (_, text) = fits.unwrap_or(&self.0[SIZES.len() - 1]);
            (AssertSqlSafe(Arc::clone(text)), piece)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_one_statement_until_it_is_larger_than_the_largest() {
        let statement = RowStatement::new(2, |rows| format!("SELECT * FROM {rows}"));
        let room = |count: usize| -> Vec<(usize, usize)> {
            let rows = vec![(); count];
            let pieces = statement.pieces(&rows);
            pieces
                .map(|(text, piece)| (text.0.matches("(?, ?)").count(), piece.len()))
                .collect()
        };
        assert_eq!(room(0), []);
        assert_eq!(room(1), [(1, 1)]);
        assert_eq!(room(5), [(8, 5)]);
        assert_eq!(room(64), [(64, 64)]);
        assert_eq!(room(131), [(64, 64), (64, 64), (4, 3)]);
    }
}
