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
}

/// The whole table.
pub fn markdown(rows: &[Row], runs: usize) -> String {
    let mut table = format!(
        "{HOPS} hops, the first on disk; medians of {runs} interleaved runs; CPU and bytes of this process only (not the broker's)\n\n\
         | records | bus | p50 ms | p95 ms | p99 ms (runs) | CPU µs/record | µs/hop | KiB written/record |\n\
         |---|---|---|---|---|---|---|---|\n"
    );
    for row in rows {
        let [p50, p95, p99] = row.figures.latency_ms;
        let (least, most) = row.p99_range;
        let cpu = row.figures.cpu_us;
        let line = format!(
            "| {} | {} | {p50:.2} | {p95:.2} | {p99:.2} ({least:.2}–{most:.2}) | {cpu:.0} | {:.0} | {:.1} |\n",
            row.scenario.name(),
            row.column,
            cpu / HOPS as f64,
            row.figures.written_kib,
        );
        table.push_str(&line);
    }
    table
}
