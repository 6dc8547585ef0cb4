//! Whether a request can wait for as long as it may live: what the log drops before its deadline, nothing can end any more.

use std::time::Duration;

use relay_bus::topics::{self, Manifest};

use crate::config::Config;
use crate::findings::Problem;
use crate::sizes::key_of;

/// Topics through which a request goes and which deadlines outlast.
pub(crate) fn check(config: &Config, manifest: &Manifest) -> Vec<Problem> {
    let (key, longest) = longest(config);
    let margin = config.ingress.cluster.sweep.margin;
    let needed = longest.saturating_add(margin);
    let mut found = Vec::new();
    for topic in manifest.expanded() {
        let kept = topic.retention.unwrap_or(Duration::MAX);
        if carries_requests(&topic.name, &manifest.pools) && kept <= needed {
            let problem = format!(
                "topic {} keeps its records for {} (`retention`), but with `{key}: {}` and `ingress.cluster.sweep.margin: {}` a \
                 request may have to be ended later than that",
                topic.name,
                humantime::format_duration(kept),
                humantime::format_duration(longest),
                humantime::format_duration(margin),
            );
            let needed = humantime::format_duration(needed);
            let remedy = format!("raise `retention` above {needed}, or lower `{key}`");
            found.push(Problem::new(key_of(manifest, &topic.name), problem, remedy));
        }
    }
    found
}

/// The longest that any request may live, and the key that says so.
fn longest(config: &Config) -> (&'static str, Duration) {
    let (deadlines, batch) = (&config.ingress.deadlines, &config.ingress.batch);
    let mut longest = ("ingress.deadlines.longest", deadlines.longest);
    let others = [
        ("ingress.deadlines.default", deadlines.default),
        (
            "ingress.batch.window",
            if batch.enabled {
                batch.window
            } else {
                Duration::ZERO
            },
        ),
    ];
    for other in others {
        if other.1 > longest.1 {
            longest = other;
        }
    }
    longest
}

fn carries_requests(topic: &str, pools: &[String]) -> bool {
    let of_pool = |pool: &String| {
        [
            topics::ready(pool),
            topics::work_short(pool),
            topics::work_long(pool),
        ]
    };
    topic == topics::REQUESTS
        || topic == topics::PLANNED
        || pools.iter().flat_map(of_pool).any(|name| name == topic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut Config, &mut Manifest)) -> Option<String> {
        let mut config = Config::default();
        let mut manifest = config.manifest().expect("the built-in manifest parses");
        change(&mut config, &mut manifest);
        let found = check(&config, &manifest);
        let told: Vec<String> = found.iter().map(ToString::to_string).collect();
        (!told.is_empty()).then(|| told.join("\n"))
    }

    fn keep(manifest: &mut Manifest, name: &str, retention: Duration) {
        let topic = manifest.topics.iter_mut().find(|topic| topic.name == name);
        topic.expect("it is in the manifest").retention = Some(retention);
    }

    #[test]
    fn the_defaults_outlast_every_deadline() {
        assert_eq!(refused(|_, _| {}), None);
    }

    #[test]
    fn a_deadline_that_outlasts_a_topic_is_refused_with_both_keys() {
        let window = refused(|config, _| config.ingress.batch.window = Duration::from_hours(48));
        let window = window.expect("planned requests are kept for two days");
        for named in [
            "relay.planned.v1",
            "`retention`",
            "`ingress.batch.window: 2days`",
            "sweep.margin: 1m",
        ] {
            assert!(window.contains(named), "{named}: {window}");
        }
        let topics = [
            "relay.requests.v1",
            "relay.planned.v1",
            "relay.ready.<pool>.v1",
            "relay.work.<pool>.long.v1",
        ];
        for name in topics {
            let said = refused(|config, manifest| {
                config.ingress.batch.enabled = false;
                keep(manifest, name, Duration::from_mins(11));
            });
            let said = said.expect("ten minutes and a margin of one are as long");
            assert!(said.contains(&name.replace("<pool>", "default")), "{said}");
            assert!(said.contains("`ingress.deadlines.longest: 10m`"), "{said}");
        }
        let later = refused(|_, manifest| keep(manifest, "relay.batch.results.v1", Duration::from_hours(1)));
        assert_eq!(later, None, "what carries no request that has to be ended may go");
    }
}
