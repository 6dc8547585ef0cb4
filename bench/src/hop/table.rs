//! The table, in Markdown, so that it can be pasted into the decision record.

use super::Scenario;
use super::column::HOPS;
use super::figures::Figures;

/// A line of the table.
pub struct Row {
    /// What was measured.
    pub scenario: Scenario,
    /// On which bus.
    pub column: &'static str,
    /// Medians of the runs.
    pub figures: Figures,
    /// The runs' smallest and largest 99th percentile.
    pub p99_range: (f64, f64),
    /// Median and 99th percentile of one plain write with its `fdatasync` on the same disk, in turns with the runs.
    pub disk_ms: Option<[f64; 2]>,
}

/// The whole table, under what was done in which `manner`.
pub fn markdown(rows: &[Row], manner: &str) -> String {
    let mut table = format!(
        "{HOPS} hops, the first on disk; {manner}; CPU of this process only (not the broker's), bytes of whoever keeps the log\n\n\
         | records | bus | p50 ms | p95 ms | p99 ms (runs) | disk alone p50 / p99 ms | records/s | CPU µs/record | KiB written/record | grown MiB |\n\
         |---|---|---|---|---|---|---|---|---|---|\n"
    );
    for row in rows {
        let [p50, p95, p99] = row.figures.latency_ms;
        let (least, most) = row.p99_range;
        let line = format!(
            "| {} | {} | {p50:.2} | {p95:.2} | {p99:.2} ({least:.2}–{most:.2}) | {} | {:.0} | {:.0} | {} | {:.1} |\n",
            row.scenario.name(),
            row.column,
            disk(row.disk_ms),
            row.figures.per_second,
            row.figures.cpu_us,
            kib(row.figures.written_kib),
            row.figures.grown_mib,
        );
        table.push_str(&line);
    }
    table
}

fn disk(ms: Option<[f64; 2]>) -> String {
    ms.map_or_else(String::new, |[p50, p99]| format!("{p50:.2} / {p99:.2}"))
}

fn kib(written: Option<f64>) -> String {
    written.map_or_else(|| "not measured".to_owned(), |kib| format!("{kib:.1}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_what_was_not_measured() {
        let row = |column, written_kib, disk_ms| Row {
            scenario: Scenario::ALL[0],
            column,
            figures: Figures {
                latency_ms: [0.384, 0.5, 2.0],
                cpu_us: 362.4,
                written_kib,
                per_second: 199.8,
                grown_mib: 4.25,
            },
            p99_range: (1.0, 3.0),
            disk_ms,
        };
        let rows = [
            row("embedded", Some(26.24), Some([0.21, 0.9])),
            row("Kafka", None, None),
        ];
        let table = markdown(&rows, "once");
        let rows: Vec<&str> = table.lines().skip(4).collect();
        assert_eq!(
            rows,
            [
                "| 2 KiB at 200/s | embedded | 0.38 | 0.50 | 2.00 (1.00–3.00) | 0.21 / 0.90 | 200 | 362 | 26.2 | 4.2 |",
                "| 2 KiB at 200/s | Kafka | 0.38 | 0.50 | 2.00 (1.00–3.00) |  | 200 | 362 | not measured | 4.2 |",
            ]
        );
    }
}
