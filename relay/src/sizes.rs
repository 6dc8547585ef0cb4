//! Whether every record that may come fits into its topic: what ingress accepts, every later topic must be able to hold.

use relay_bus::topics::{self, Manifest};

use crate::config::Config;
use crate::findings::Problem;

/// What a record holds beside what its request says: plan and decision trace, and generously for provenance, hashes, tenant, headers.
const ENVELOPE: usize = relay_planner::MOST_PLANNING + 8 * 1024;

/// How often a decision trace may name the model.
const MODEL_NAMES: usize = 64;

/// The topics that are not there, or into which the largest records do not fit.
pub(crate) fn check(config: &Config, manifest: &Manifest) -> Vec<Problem> {
    let topics = manifest.expanded();
    let mut found = Vec::new();
    for (name, needed) in largest(config, &manifest.pools) {
        let Some(index) = topics.iter().position(|topic| topic.name == name) else {
            let problem = format!("there is no topic {name}, which Relay needs");
            found.push(Problem::new(
                "topics",
                problem,
                "add it, as in deploy/topics.yaml",
            ));
            continue;
        };
        let allowed = topics[index].max_record.as_usize();
        if allowed < needed {
            let problem = format!(
                "topic {name} allows {allowed} bytes a record, but what `ingress.limits.max_body`, `ingress.request` and \
                 `workers.max_answer` allow may need {needed}"
            );
            found.push(Problem::new(
                key_of(manifest, &name),
                problem,
                "raise `max_record` or lower them",
            ));
        }
    }
    found
}

/// Where the manifest says what the topic is.
pub(crate) fn key_of(manifest: &Manifest, name: &str) -> String {
    let is_meant = |declared: &str| {
        let mut pools = manifest.pools.iter();
        declared == name || pools.any(|pool| declared.replace("<pool>", pool) == name)
    };
    let index = manifest.topics.iter().position(|topic| is_meant(&topic.name));
    index.map_or_else(|| "topics".to_owned(), |index| format!("topics[{index}]"))
}

/// The largest record that may come on each topic.
fn largest(config: &Config, pools: &[String]) -> Vec<(String, usize)> {
    let (limits, body) = (&config.ingress.request, config.ingress.limits.max_body.as_usize());
    let request = body + limits.model_length + ENVELOPE;
    // The plan holds the stop strings once more.
    let stops = limits.stops.saturating_mul(limits.stop_length);
    let names = limits.model_length.saturating_mul(MODEL_NAMES);
    let planned = request.saturating_add(stops).saturating_add(names);
    let answers = config.workers.iter().map(|worker| worker.max_answer.as_usize());
    let outcome = planned
        .saturating_add(answers.max().unwrap_or(0))
        .saturating_add(relay_workers::MOST_BESIDE);
    let mut largest = vec![
        (topics::BATCH_REQUESTS.to_owned(), request),
        (topics::REQUESTS.to_owned(), request),
        (topics::PLANNED.to_owned(), planned),
        (topics::OUTCOMES.to_owned(), outcome),
    ];
    for pool in pools {
        let later = [
            topics::ready(pool),
            topics::work_short(pool),
            topics::work_long(pool),
        ];
        largest.extend(later.map(|topic| (topic, planned)));
    }
    largest
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use relay_schemas::{
        Answer, Embedding, Operation, Outcome, Planned, Planning, Ready, Record, Request, TokenCount, Work,
        encode, samples,
    };
    use relay_settings::ByteSize;

    use super::*;

    fn manifest() -> Manifest {
        Config::default()
            .manifest()
            .expect("the built-in manifest parses")
    }

    #[test]
    fn limits_that_a_later_topic_cannot_hold_are_refused_with_what_to_change() {
        let refused = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            let found = check(&config, &manifest());
            found
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("\n")
        };
        let body = refused(|config| config.ingress.limits.max_body = ByteSize::mib(2));
        assert!(
            body.contains("relay.batch.requests.v1") && body.contains("`ingress.limits.max_body`"),
            "{body}"
        );
        let stop = refused(|config| config.ingress.request.stop_length = 240_000);
        assert!(
            stop.contains("relay.planned.v1") && stop.contains("`ingress.request`"),
            "{stop}"
        );
        let answer = refused(|config| config.workers[0].max_answer = ByteSize::mib(64));
        assert!(
            answer.contains("relay.outcomes.v1") && answer.contains("`workers.max_answer`"),
            "{answer}"
        );
        assert_eq!(check(&Config::default(), &manifest()), []);
    }

    /// How a character is written in a body, and how many of its bytes that takes.
    const WRITTEN: [&str; 5] = ["x", "é", "\\n", "\\u0001", "\\ud83d\\ude00"];

    /// At most `most` bytes of JSON text whose decoded length is at most `most`, too.
    fn filled(written: &str, most: usize) -> String {
        written.repeat(most / written.len())
    }

    /// A body of exactly `most` bytes, at every bound at once: `place` says where most of it stands.
    fn body(config: &Config, written: &str, place: usize) -> String {
        let (limits, most) = (&config.ingress.request, config.ingress.limits.max_body.as_usize());
        let stops = vec![format!("\"{}\"", filled(written, limits.stop_length)); limits.stops].join(",");
        // Control characters are refused in both.
        let named = if written.starts_with("\\u0") || written == "\\n" {
            "x"
        } else {
            written
        };
        let metadata: Vec<String> = (0..limits.metadata_keys)
            .map(|key| {
                let value = filled(named, limits.metadata_value_length);
                format!(
                    "\"{key:0width$}\":\"{value}\"",
                    width = limits.metadata_key_length
                )
            })
            .collect();
        let metadata = metadata.join(",");
        let (model, user) = (
            filled(written, limits.model_length),
            filled(named, limits.name_length),
        );
        // Of a chat, then of embeddings, then of a completion.
        let places = [
            "{\"role\":\"user\",\"content\":\"PLACE\"}],",
            "{\"role\":\"user\",\"content\":\"\"}],\"vendor\":\"PLACE\",",
            "{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"PLACE\"}}]}],",
            "{\"role\":\"user\",\"content\":\"\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"PLACE\"}}],",
        ];
        let inputs = [
            "\"input\":[\"PLACE\"]",
            "\"input\":\"x\",\"vendor\":{\"theirs\":[\"PLACE\"]}",
            "\"prompt\":\"PLACE\",\"stop\":STOPS",
        ];
        let known = format!("\"model\":\"{model}\",\"user\":\"{user}\",\"metadata\":{{{metadata}}}");
        let around = match places.get(place) {
            Some(messages) => format!("{{{known},\"stop\":[{stops}],\"messages\":[{messages}\"seed\":1}}"),
            None => format!("{{{known},{}}}", inputs[place - places.len()])
                .replace("STOPS", &format!("[{stops}]")),
        };
        let room = most - (around.len() - "PLACE".len());
        let filling = filled(written, room);
        let rest = " ".repeat(room - filling.len());
        around.replace("PLACE", &filling) + &rest
    }

    fn request(config: &Config, operation: Operation, body: &str) -> Request {
        let parsed = config.ingress.rules().parse(operation, body.into());
        let parsed = parsed.expect("it keeps to every bound");
        let name = "n".repeat(256);
        Request {
            request_id: "r".repeat(64).as_str().into(),
            tenant: "t".repeat(64).as_str().into(),
            model: parsed.model,
            operation,
            body: parsed.body,
            request_hash: parsed.request_hash,
            requested_tokens: Some(TokenCount(u32::MAX)),
            temperature: Some(1.0),
            reply_to: Some("s".repeat(512)),
            idempotency_key: Some("k".repeat(64)),
            batch: Some(relay_schemas::BatchRef {
                batch_id: name.clone(),
                custom_id: name,
            }),
            ..samples::request()
        }
    }

    /// The plan under `policy`, as if that looked at nothing but the model and named it wherever it can.
    fn planning(policy: &relay_planner::Policy, request: &Request) -> Planning {
        let known = Request {
            model: "relay-chat".to_owned(),
            ..request.clone()
        };
        let mut planning = relay_planner::replan(policy, &known, request.accepted_at).expect("a plan");
        for condition in planning.rules.iter_mut().flat_map(|rule| &mut rule.conditions) {
            condition.seen.clone_from(&request.model);
        }
        for candidate in &mut planning.plan.candidates {
            candidate.model.clone_from(&request.model);
        }
        planning
    }

    /// The largest answer.
    fn answer(config: &Config, operation: Operation) -> Answer {
        let most = config.workers[0].max_answer.as_usize();
        // All that an endpoint may say beside it.
        let extra = Some(format!(
            "{{\"x\":\"{}\"}}",
            "q".repeat(relay_workers::MOST_BESIDE - 8)
        ));
        if operation != Operation::Embedding {
            return Answer {
                extra,
                ..samples::answer(&"a".repeat(most))
            };
        }
        let vector = Embedding {
            index: u32::MAX,
            values: vec![1.0; most / size_of::<f32>()],
        };
        Answer {
            choices: Vec::new(),
            embeddings: vec![vector],
            extra,
            ..samples::answer("")
        }
    }

    /// With its key and headers.
    fn size<T: Record>(request: &Request, record: &T) -> usize {
        let headers = relay_bus::Headers::of(request);
        let key = request.request_id.as_str().to_owned();
        let traceparent = 55 + 16;
        let outgoing = relay_bus::Outgoing::keyed("any", key, headers, encode(record)).sealed();
        let headers: usize = outgoing
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        outgoing.value.map_or(0, |value| value.len())
            + headers
            + request.request_id.as_str().len()
            + traceparent
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Under the limits, the policy and the topics that come along.
        #[test]
        fn what_ingress_accepts_every_later_topic_can_hold(written in 0..WRITTEN.len(), place in 0..7_usize) {
            let config = Config::default();
            let policy = relay_planner::load(&config.planner.policy).expect("the policy parses");
            let body = body(&config, WRITTEN[written], place);
            prop_assert_eq!(body.len(), config.ingress.limits.max_body.as_usize());
            let operation = match place {
                0..4 => Operation::Chat,
                4..6 => Operation::Embedding,
                _ => Operation::Completion,
            };
            let request = Arc::new(request(&config, operation, &body));
            let planning = Arc::new(planning(&policy, &request));
            let planned = Planned { request: request.clone(), planning: planning.clone() };
            let ready = Ready { request: request.clone(), planning: planning.clone(), ..samples::ready() };
            let work = Work { request: request.clone(), planning: planning.clone(), ..samples::work() };
            let outcome = Outcome {
                request: Some(request.clone()),
                planning: Some(planning),
                caching: Some(work.caching.clone()),
                queueing: Some(work.queueing.clone()),
                lease: Some(work.lease.clone()),
                answer: Some(answer(&config, operation).into()),
                ..samples::outcome()
            };
            let sizes = [
                (topics::REQUESTS.to_owned(), size(&request, &*request)),
                (topics::PLANNED.to_owned(), size(&request, &planned)),
                (topics::ready("default"), size(&request, &ready)),
                (topics::work_short("default"), size(&request, &work)),
                (topics::OUTCOMES.to_owned(), size(&request, &outcome)),
            ];
            let (manifest, largest) = (manifest().expanded(), largest(&config, &["default".to_owned()]));
            for (name, size) in sizes {
                let topic = manifest.iter().find(|topic| topic.name == name).expect("it is in the manifest");
                prop_assert!(size <= topic.max_record.as_usize(), "{name}: {size}");
                let (_, counted) = largest.iter().find(|(topic, _)| *topic == name).expect("it is checked");
                prop_assert!(size <= *counted, "{name}: {size} is more than the check at the start counts");
            }
        }
    }
}
