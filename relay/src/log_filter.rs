//! What is logged: `INFO`, or `info,relay_scheduler=debug`. A word that names nothing is refused, as it would silence everything.
//!
//! The level is that of Relay's own parts. Libraries speak from WARNING on, whatever it is: at DEBUG the lines of a broker's or an HTTP
//! library would bury ours. Who wants one names it (`sqlx=debug`).

use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

/// Every level by its names: Relay's, and those that Python's services know. Nothing here is worse than an error.
const LEVELS: [(&str, LevelFilter); 9] = [
    ("TRACE", LevelFilter::TRACE),
    ("DEBUG", LevelFilter::DEBUG),
    ("INFO", LevelFilter::INFO),
    ("WARNING", LevelFilter::WARN),
    ("WARN", LevelFilter::WARN),
    ("ERROR", LevelFilter::ERROR),
    ("CRITICAL", LevelFilter::ERROR),
    ("FATAL", LevelFilter::ERROR),
    ("OFF", LevelFilter::OFF),
];

/// Begins the name of each of Relay's own parts; whatever else logs is a library.
const OWN: &str = "relay";

/// What an operator changed: told whatever the level is, unless it is named.
const AUDIT: &str = "audit";

/// Tells which group got which partitions.
const HOST: &str = "relay_runner::stage::host";

/// Relay's own parts, as `part=level` names them.
const PARTS: [&str; 17] = [
    "relay",
    "relay_ingress",
    "relay_planner",
    "relay_cache_service",
    "relay_scheduler",
    "relay_workers",
    "relay_trace_sink",
    "relay_schemas",
    "relay_clock",
    "relay_settings",
    "relay_api",
    "relay_lifecycle",
    "relay_log",
    "relay_bus",
    "relay_runner",
    "relay_control",
    "relay_store",
];

/// The level of Relay's own parts, then those of single parts and of libraries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter {
    level: LevelFilter,
    parts: Vec<(String, LevelFilter)>,
}

impl Default for LogFilter {
    fn default() -> Self {
        Self {
            level: LevelFilter::INFO,
            parts: Vec::new(),
        }
    }
}

impl LogFilter {
    /// As `tracing` takes it. People who start everything by hand do not want to read of partitions.
    pub fn targets(&self, for_people: bool) -> Targets {
        let libraries = self.level.min(LevelFilter::WARN);
        let mut targets = Targets::new()
            .with_default(libraries)
            .with_target(OWN, self.level)
            .with_target(AUDIT, LevelFilter::INFO);
        let named = self.parts.iter().any(|(part, _)| HOST.starts_with(part.as_str()));
        if self.level == LevelFilter::INFO && for_people && !named {
            targets = targets.with_target(HOST, LevelFilter::WARN);
        }
        targets.with_targets(self.parts.iter().cloned())
    }
}

impl FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut filter = Self::default();
        let mut named = false;
        for word in text.split(',').map(str::trim) {
            if let Some((part, of_part)) = word.split_once('=') {
                let part = part_named(part.trim())?;
                filter.parts.push((part, level(of_part.trim())?));
                continue;
            }
            filter.level = level(word)?;
            if std::mem::replace(&mut named, true) {
                return Err(format!(
                    "`{text}` names two levels; give one, and others as part=level: info,relay_scheduler=debug"
                ));
            }
        }
        Ok(filter)
    }
}

impl<'de> Deserialize<'de> for LogFilter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

fn level(word: &str) -> Result<LevelFilter, String> {
    let known = LEVELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
    known.map(|(_, level)| *level).ok_or_else(|| {
        let names = LEVELS.map(|(name, _)| name).join(", ");
        format!(
            "`{word}` is no log level; use one of {names}, or for single parts info,relay_scheduler=debug"
        )
    })
}

/// A part of ours must exist; what a library is called only its own lines tell.
fn part_named(part: &str) -> Result<String, String> {
    let first = part.split("::").next().unwrap_or_default();
    let forgotten = PARTS.contains(&format!("{OWN}_{first}").as_str());
    let plain = !part.is_empty()
        && part
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ':'));
    if plain && !forgotten && (!first.starts_with(OWN) || PARTS.contains(&first)) {
        return Ok(part.to_owned());
    }
    Err(format!(
        "`{part}` is no part that logs; use one of {}, or a library's name",
        PARTS.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    fn targets(text: &str, for_people: bool) -> Targets {
        let filter: LogFilter = text.parse().unwrap_or_else(|refused| panic!("{text}: {refused}"));
        filter.targets(for_people)
    }

    /// The finest level that a target is logged at.
    fn finest(text: &str, target: &str) -> Option<Level> {
        let targets = targets(text, false);
        let levels = [Level::TRACE, Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR];
        levels
            .into_iter()
            .find(|level| targets.would_enable(target, level))
    }

    #[test]
    fn a_log_level_typo_is_refused_with_the_list_and_silences_nothing() {
        for typo in ["loud", "inof", "", "info,loud", "relay_scheduler=loud", "3"] {
            let refused = typo.parse::<LogFilter>().expect_err(typo);
            for name in LEVELS.map(|(name, _)| name) {
                assert!(refused.contains(name), "{typo}: {refused}");
            }
        }
        for typo in [
            "relay_schedular=debug",
            "scheduler=debug",
            "=debug",
            "relay_bus[span]=debug",
        ] {
            let refused = typo.parse::<LogFilter>().expect_err(typo);
            assert!(refused.contains("relay_scheduler, "), "{typo}: {refused}");
        }
        assert!("info,debug".parse::<LogFilter>().is_err());
    }

    #[test]
    fn a_log_level_typo_in_a_file_is_told_with_its_line() {
        let refused =
            crate::load::parse_text("data: d\nlog: { level: loud }\n", |_| None).expect_err("no level");
        let refused = refused.to_string();
        assert!(
            refused.contains("2:15") && refused.contains("log.level"),
            "{refused}"
        );
        assert!(
            refused.contains("`loud` is no log level; use one of TRACE"),
            "{refused}"
        );
    }

    #[test]
    fn every_level_that_other_gateways_know_means_something() {
        for (names, expected) in [
            (["TRACE", "trace"], Some(Level::TRACE)),
            (["DEBUG", "Debug"], Some(Level::DEBUG)),
            (["INFO", "info"], Some(Level::INFO)),
            (["WARNING", "warn"], Some(Level::WARN)),
            (["ERROR", "error"], Some(Level::ERROR)),
            (["CRITICAL", "FATAL"], Some(Level::ERROR)),
            (["OFF", "off"], None),
        ] {
            for name in names {
                assert_eq!(finest(name, "relay_planner::reload"), expected, "{name}");
            }
        }
    }

    #[test]
    fn libraries_are_quiet_at_debug_unless_they_are_named() {
        for library in [
            "rdkafka",
            "hyper_util::client",
            "async_nats",
            "sqlx",
            "a_library_to_come",
        ] {
            for level in ["INFO", "DEBUG", "TRACE"] {
                assert_eq!(finest(level, library), Some(Level::WARN), "{library} at {level}");
            }
            assert_eq!(finest("CRITICAL", library), Some(Level::ERROR));
            assert_eq!(
                finest(&format!("debug,{library}=debug"), library),
                Some(Level::DEBUG)
            );
        }
    }

    #[test]
    fn a_filter_without_a_level_of_its_own_silences_nothing_else() {
        let text = "relay_scheduler=debug, sqlx=critical";
        assert_eq!(finest(text, "relay_scheduler::shell"), Some(Level::DEBUG));
        assert_eq!(finest(text, "relay_workers"), Some(Level::INFO));
        assert_eq!(finest(text, "sqlx"), Some(Level::ERROR));
        assert_eq!(finest("warning,relay_log=trace", "relay_log"), Some(Level::TRACE));
        assert_eq!(finest("warning,relay_log=trace", "relay_bus"), Some(Level::WARN));
    }

    #[test]
    fn what_an_operator_changed_is_told_at_every_level_unless_that_is_silenced_by_name() {
        for level in ["INFO", "WARNING", "CRITICAL", "OFF"] {
            assert_eq!(finest(level, "audit"), Some(Level::INFO), "{level}");
        }
        assert_eq!(finest("info,audit=off", "audit"), None);
    }

    #[test]
    fn people_are_spared_the_partitions() {
        let told = |for_people, text| {
            targets(text, for_people).would_enable("relay_runner::stage::host", &Level::INFO)
        };
        assert!(!told(true, "INFO"));
        assert!(told(false, "INFO") && told(true, "DEBUG"));
        assert!(told(true, "info,relay_runner::stage=info"));
    }

    #[test]
    fn the_parts_are_the_crates_of_the_executable() {
        let manifest = include_str!("../../Cargo.toml");
        let (_, rest) = manifest.split_once("members = [").expect("it lists its members");
        let (members, _) = rest.split_once(']').expect("the list ends");
        let members = members.lines().filter_map(|line| line.split('"').nth(1));
        let beside = ["relay", "simulation", "bench", "tests"];
        let crates = members.filter(|member| !beside.contains(member));
        let crates: Vec<String> = crates
            .map(|member| format!("relay_{}", member.replace('-', "_")))
            .collect();
        assert_eq!(PARTS[0], OWN);
        assert_eq!(PARTS[1..], crates);
    }
}
