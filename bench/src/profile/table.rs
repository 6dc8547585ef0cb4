//! The tables: microseconds of CPU time a request, a column a build.

use std::fmt::Write;

use super::Profile;
use super::stages::{KINDS, Stage};

/// Both tables in Markdown, a column each of `builds`; the share is that of the last.
pub fn markdown(builds: &[(&str, &Profile)]) -> String {
    let mut text = String::new();
    header(&mut text, builds, "stage");
    for stage in Stage::ALL {
        row(&mut text, builds, stage.name(), |sample| {
            Stage::of(sample) == stage
        });
    }
    row(&mut text, builds, "**all**", |_| true);
    for (name, profile) in builds {
        let _ = writeln!(
            text,
            "\n{name}: by {} samples {:.2} processors were busy with it, by the scheduler's count {:.2} ({:.0} %)",
            profile.samples.len(),
            profile.sampled(),
            profile.counted(),
            100.0 * profile.sampled() / profile.counted(),
        );
    }
    text.push('\n');
    header(&mut text, builds, "kind of work (these overlap)");
    for (name, is) in KINDS {
        row(&mut text, builds, name, is);
    }
    text
}

fn header(text: &mut String, builds: &[(&str, &Profile)], first: &str) {
    let names: Vec<String> = builds.iter().map(|(name, _)| format!("{name}, µs")).collect();
    let _ = writeln!(text, "| {first} | {} | share |", names.join(" | "));
    let _ = writeln!(text, "|---|{}--:|", "--:|".repeat(builds.len()));
}

fn row(
    text: &mut String,
    builds: &[(&str, &Profile)],
    name: &str,
    is: impl Fn(&super::stacks::Sample) -> bool,
) {
    let share = |profile: &Profile| {
        let met = profile.samples.iter().filter(|sample| is(sample)).count();
        met as f64 / profile.samples.len().max(1) as f64
    };
    let figures: Vec<String> = builds
        .iter()
        .map(|(_, profile)| format!("{:.1}", share(profile) * profile.cpu_us()))
        .collect();
    let last = builds.last().map_or(0.0, |(_, profile)| share(profile));
    let _ = writeln!(
        text,
        "| {name} | {} | {:.1} % |",
        figures.join(" | "),
        100.0 * last
    );
}

#[cfg(test)]
mod tests {
    use super::super::stacks::Sample;
    use super::*;

    #[test]
    fn the_stages_add_up_to_what_the_scheduler_counted() {
        let thread = |name: &str| Sample {
            thread: name.to_owned(),
            ..Sample::default()
        };
        let profile = Profile {
            samples: vec![
                thread("relay-bus-sync"),
                thread("x"),
                thread("x"),
                thread("sqlx-sqlite-wor"),
            ],
            period_s: 0.004,
            sampled_for_s: 0.02,
            counted_s: 0.02,
            counted_for_s: 0.02,
            requests: 100.0,
        };
        let table = markdown(&[("now", &profile)]);
        for line in [
            "| log: syncer's thread | 50.0 | 25.0 % |",
            "| not attributed | 100.0 | 50.0 % |",
            "| sink: SQLite's thread | 50.0 | 25.0 % |",
            "| **all** | 200.0 | 100.0 % |",
            "now: by 4 samples 0.80 processors were busy with it, by the scheduler's count 1.00 (80 %)",
        ] {
            assert!(table.contains(line), "{line}\n{table}");
        }
    }
}
