//! What is said of a key: as the sample says it, which names every setting with its default (`relay/src/samples.rs` holds it to that).
//!
//! The sample has one layout: two spaces a level, one key a line, what it means behind `#`, more of that on lines of their own. The page
//! of settings is made from the same (`deploy/local/pages/settings.py`).

use std::collections::BTreeMap;

use relay_settings::Describe;

const SAMPLE: &str = include_str!("../../../deploy/relay.embedded.yaml");

/// Nothing is said.
pub(super) struct NoWords;

impl Describe for NoWords {
    fn describe(&self, _: &str) -> Option<String> {
        None
    }
}

/// The words of the sample, by key.
pub(super) struct Sample(BTreeMap<String, String>);

impl Default for Sample {
    fn default() -> Self {
        let own: Vec<&str> = SAMPLE.lines().filter(|line| !line.starts_with("#|")).collect();
        let other: Vec<&str> = SAMPLE
            .lines()
            .filter_map(|line| line.strip_prefix("#|"))
            .collect();
        let mut words = read(&other);
        words.extend(read(&own));
        Self(words)
    }
}

impl Describe for Sample {
    fn describe(&self, key: &str) -> Option<String> {
        self.0.get(key).cloned()
    }
}

/// Keys and what is said of them. What stands beside a `kind` is its own: `bus[kafka].brokers`.
fn read(lines: &[&str]) -> BTreeMap<String, String> {
    let mut words: BTreeMap<String, String> = BTreeMap::new();
    let mut above: Vec<String> = Vec::new();
    let mut said: Vec<&str> = Vec::new();
    let mut last = String::new();
    for line in lines {
        let (entry, comment) = parts(line);
        let Some((name, value)) = entry.trim().split_once(':') else {
            match comment {
                Some(more) if line.starts_with(' ') => add(&mut words, &last, more),
                Some(more) if !more.is_empty() => said.push(more),
                _ => said.clear(),
            }
            continue;
        };
        let depth = (entry.len() - entry.trim_start().len()) / 2;
        above.truncate(depth);
        if name == "kind"
            && let Some(section) = above.last_mut()
        {
            *section = format!("{section}[{}]", value.trim());
            continue;
        }
        above.push(name.to_owned());
        last = above.join(".");
        let own = if depth == 0 {
            std::mem::take(&mut said)
        } else {
            Vec::new()
        };
        for part in own.into_iter().chain(comment) {
            add(&mut words, &last, part);
        }
        let value = value.trim();
        if !value.is_empty() && value != "null" {
            add(&mut words, &last, &format!("(default: {value})"));
        }
    }
    words
}

fn add(words: &mut BTreeMap<String, String>, key: &str, more: &str) {
    let said = words.entry(key.to_owned()).or_default();
    if !said.is_empty() {
        said.push(' ');
    }
    said.push_str(more.trim());
}

/// A line's entry and its comment. In the sample no value holds a `#`.
fn parts(line: &str) -> (&str, Option<&str>) {
    match line.split_once('#') {
        Some((entry, comment)) => (entry.trim_end(), Some(comment.trim())),
        None => (line.trim_end(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_described_as_in_the_sample_with_its_default() {
        let sample = Sample::default();
        let said = |key: &str| {
            sample
                .describe(key)
                .unwrap_or_else(|| panic!("{key} is described"))
        };
        assert!(
            said("ops.port").ends_with("(default: 8001)"),
            "{}",
            said("ops.port")
        );
        assert!(!said("data").contains("default: null"));
        assert!(
            said("bus[embedded].fetch_size").contains("1MiB"),
            "{}",
            said("bus[embedded].fetch_size")
        );
        assert!(
            said("bus[kafka].fetch_size").contains("consumer"),
            "{}",
            said("bus[kafka].fetch_size")
        );
        assert!(
            said("lame_duck").contains("at most a quarter"),
            "with the lines below: {}",
            said("lame_duck")
        );
        assert!(
            said("watchdog").contains("makes no progress"),
            "with the lines above: {}",
            said("watchdog")
        );
    }
}
