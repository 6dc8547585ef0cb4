//! Columns under headings. Pure.

/// Rows whose columns are made equally wide together; what comes after them keeps those widths, where it fits.
const TOGETHER: usize = 500;

/// A table that grows row by row, and holds a bounded part of itself.
pub struct Table {
    headings: Vec<&'static str>,
    widths: Vec<usize>,
    rows: Vec<Vec<String>>,
    printed: bool,
}

impl Table {
    /// A table with these headings.
    pub fn new(headings: &[&'static str]) -> Self {
        Self {
            headings: headings.to_vec(),
            widths: headings.iter().map(|heading| width(heading)).collect(),
            rows: Vec::new(),
            printed: false,
        }
    }

    /// Adds a row; returns what can be printed by now.
    pub fn row(&mut self, cells: Vec<String>) -> String {
        self.rows.push(cells);
        if self.rows.len() < TOGETHER {
            return String::new();
        }
        self.print()
    }

    /// What is left to print; the headings alone where there was no row.
    pub fn end(mut self) -> String {
        self.print()
    }

    fn print(&mut self) -> String {
        for row in &self.rows {
            for (width_of, cell) in self.widths.iter_mut().zip(row) {
                *width_of = (*width_of).max(width(cell));
            }
        }
        let mut text = String::new();
        if !self.printed {
            let headings: Vec<String> = self.headings.iter().map(|&heading| heading.to_owned()).collect();
            text.push_str(&self.line(&headings));
            self.printed = true;
        }
        for row in std::mem::take(&mut self.rows) {
            text.push_str(&self.line(&row));
        }
        text
    }

    /// Numbers end under each other, all else begins so.
    fn line(&self, cells: &[String]) -> String {
        let mut line = String::new();
        for (cell, column) in cells.iter().zip(&self.widths) {
            let gap = " ".repeat(column.saturating_sub(width(cell)));
            let is_number = !cell.is_empty() && cell.bytes().all(|byte| byte.is_ascii_digit());
            if is_number {
                line.push_str(&gap);
                line.push_str(cell);
            } else {
                line.push_str(cell);
                line.push_str(&gap);
            }
            line.push_str("  ");
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_their_headings_and_numbers_end_under_each_other() {
        let mut table = Table::new(&["TOPIC", "LOW", "HIGH"]);
        for row in [["relay.outcomes.v1", "0", "1200"], ["größe", "17", "-"]] {
            assert_eq!(table.row(row.map(str::to_owned).to_vec()), "");
        }
        let expected = "TOPIC              LOW  HIGH\n\
                        relay.outcomes.v1    0  1200\n\
                        größe               17  -\n";
        assert_eq!(table.end(), expected);
        assert_eq!(Table::new(&["A", "B"]).end(), "A  B\n");
    }

    #[test]
    fn a_long_table_holds_only_so_many_rows() {
        let mut table = Table::new(&["N"]);
        let mut printed = 0;
        for number in 0..3 * TOGETHER {
            printed += table.row(vec![number.to_string()]).lines().count();
            assert!(table.rows.len() < TOGETHER);
        }
        assert_eq!(printed + table.end().lines().count(), 3 * TOGETHER + 1);
    }
}
