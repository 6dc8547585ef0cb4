//! The schemas that are kept with the samples are those of this build, and the samples are what they say.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{made, text};
use crate::cli::SchemaOf;

/// Each kind of file, the schema that is kept, and the samples.
const KEPT: [(SchemaOf, &str, &[&str]); 4] = [
    (
        SchemaOf::Config,
        "deploy/schemas/config.json",
        &[
            "deploy/relay.embedded.yaml",
            "deploy/relay.production.yaml",
            "deploy/compose/relay.yaml",
            "deploy/compose/embedded.yaml",
        ],
    ),
    (
        SchemaOf::Policy,
        "deploy/schemas/policy.json",
        &["deploy/policy.yaml"],
    ),
    (
        SchemaOf::Models,
        "deploy/schemas/models.json",
        &["models/models.yaml"],
    ),
    (
        SchemaOf::Topics,
        "deploy/schemas/topics.json",
        &["deploy/topics.yaml"],
    ),
];

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn yaml(text: &str) -> Value {
    relay_settings::from_str(text).expect("it is YAML")
}

/// Writes them anew, where it is set.
const WRITE: &str = "RELAY_WRITE_SCHEMAS";

#[test]
fn the_schemas_that_are_kept_are_those_that_the_command_prints() {
    for (of, kept, _) in KEPT {
        if std::env::var_os(WRITE).is_some() {
            std::fs::write(path(kept), text(of)).expect("it can be written");
        }
        assert!(
            read(kept) == text(of),
            "{kept} is not what this build prints; mend it with: {WRITE}=1 cargo test -p relay --lib schemas"
        );
    }
}

/// What a value has that its schema does not allow: the parts of JSON Schema that ours are made of.
fn faults(schema: &Value, value: &Value, key: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            found.push(format!("{key}: {value} is not {what}"));
        }
    };
    if let Some(kinds) = schema.get("type") {
        let kinds: Vec<&str> = match kinds {
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
            kind => kind.as_str().into_iter().collect(),
        };
        must(kinds.iter().any(|kind| is_of(value, kind)), &kinds.join(" or "));
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        must(words.contains(value), &schema["enum"].to_string());
    }
    if let Some(word) = schema.get("const") {
        must(word == value, &word.to_string());
    }
    for (name, holds) in [
        ("minimum", f64::ge as fn(&f64, &f64) -> bool),
        ("maximum", f64::le),
    ] {
        if let (Some(bound), Some(number)) = (schema.get(name).and_then(Value::as_f64), value.as_f64()) {
            must(holds(&number, &bound), &format!("within {bound}"));
        }
    }
    for choice in ["oneOf", "anyOf"] {
        let Some(choices) = schema.get(choice).and_then(Value::as_array) else {
            continue;
        };
        let all: Vec<Vec<String>> = choices.iter().map(|schema| faults(schema, value, key)).collect();
        let good = all.iter().filter(|faults| faults.is_empty()).count();
        if good == 0 || (choice == "oneOf" && good > 1) {
            found.push(format!("{key}: {good} of {choice} fit: {all:?}"));
        }
    }
    let none = Map::new();
    match value {
        Value::Object(entries) => {
            let properties = schema
                .get("properties")
                .and_then(Value::as_object)
                .unwrap_or(&none);
            for (name, value) in entries {
                let key = format!("{key}.{name}");
                match (properties.get(name), schema.get("additionalProperties")) {
                    (Some(schema), _) => found.extend(faults(schema, value, &key)),
                    (_, Some(Value::Bool(false))) => found.push(format!("{key}: no such key")),
                    (_, Some(schema)) => found.extend(faults(schema, value, &key)),
                    (_, None) => {}
                }
            }
            let required = schema.get("required").and_then(Value::as_array);
            for name in required.into_iter().flatten().filter_map(Value::as_str) {
                if !entries.contains_key(name) {
                    found.push(format!("{key}: {name} is missing"));
                }
            }
        }
        Value::Array(items) => {
            let each = items.iter().enumerate();
            let each = schema.get("items").into_iter().flat_map(|schema| {
                each.clone()
                    .flat_map(|(index, item)| faults(schema, item, &format!("{key}[{index}]")))
                    .collect::<Vec<_>>()
            });
            found.extend(each);
        }
        _ => {}
    }
    found
}

fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is no kind of JSON Schema"),
    }
}

#[test]
fn every_sample_is_what_its_schema_says_and_names_it() {
    for (of, kept, samples) in KEPT {
        let schema = made(of);
        for sample in samples {
            let text = read(sample);
            assert_eq!(faults(&schema, &yaml(&text), sample), Vec::<String>::new());
            let first = text.lines().next().unwrap_or_default();
            let named = first.strip_prefix("# yaml-language-server: $schema=");
            let named = named.unwrap_or_else(|| panic!("{sample} does not begin with its schema"));
            let folder = path(sample).parent().expect("a folder").join(named);
            let [named, kept] = [folder, path(kept)].map(|file| file.canonicalize().expect("it is there"));
            assert_eq!(named, kept, "{sample}");
        }
    }
    let half: Vec<&str> = include_str!("../../../deploy/relay.embedded.yaml")
        .lines()
        .filter_map(|line| line.strip_prefix("#|"))
        .collect();
    let schema = made(SchemaOf::Config);
    assert_eq!(
        faults(&schema, &yaml(&half.join("\n")), "production"),
        Vec::<String>::new()
    );
}

#[test]
fn a_schema_tells_what_the_reader_refuses() {
    let schema = made(SchemaOf::Config);
    for bad in [
        "prot: 1",
        "ingress: { prot: 1 }",
        "ingress: { port: 70000 }",
        "ingress: { port: true }",
        "bus: { kind: embedded, brokers: b }",
        "bus: { kind: kafak }",
        "bus: {}",
        "workers: { device: [] }",
        "cache_service: { redis: {} }",
        "scheduler: { pools: { a: b } }",
    ] {
        assert_ne!(faults(&schema, &yaml(bad), ""), Vec::<String>::new(), "{bad}");
        crate::load::parse_text(bad, |_| None).expect_err(bad);
    }
    let policy = made(SchemaOf::Policy);
    assert_eq!(
        policy["required"],
        serde_json::json!(["name", "pools", "models", "profiles", "defaults"])
    );
    let models = made(SchemaOf::Models);
    let remote = &models["properties"]["models"]["additionalProperties"]["oneOf"][1];
    assert_eq!(remote["properties"]["backend"]["const"], "openai");
    assert_eq!(
        remote["required"],
        serde_json::json!(["base_url", "upstream_model"])
    );
    let topics = made(SchemaOf::Topics);
    assert_eq!(
        topics["properties"]["topics"]["items"]["required"],
        serde_json::json!(["name", "partitions"])
    );
}

/// The keys of a mapping of the configuration, as a refusal lists them.
fn refused(section: &str) -> BTreeSet<String> {
    let inside = "{ no_such_key: 1 }".to_owned();
    let text = section
        .rsplit('.')
        .fold(inside, |inside, key| format!("{{ {key}: {inside} }}"));
    let refused = crate::load::parse_text(&text, |_| None).expect_err(section);
    refused.known.iter().map(|key| (*key).to_owned()).collect()
}

#[test]
fn the_keys_of_a_schema_are_those_that_the_reader_takes() {
    let schema = made(SchemaOf::Config);
    let mut sections = vec![("ingress".to_owned(), &schema["properties"]["ingress"])];
    let mut looked = 0;
    for name in [
        "log",
        "ops",
        "watchdog",
        "planner",
        "cache_service",
        "scheduler",
        "workers",
        "trace_sink",
    ] {
        let section = &schema["properties"][name];
        // One worker, or a list of them.
        let section = section.get("anyOf").map_or(section, |choices| &choices[0]);
        sections.push((name.to_owned(), section));
    }
    while let Some((key, section)) = sections.pop() {
        let properties = section["properties"].as_object().expect("a section has keys");
        if key != "cache_service.redis" {
            let keys: BTreeSet<String> = properties.keys().cloned().collect();
            assert_eq!(keys, refused(&key), "{key}");
            looked += 1;
        }
        let below = properties
            .iter()
            .filter(|(_, value)| value.get("properties").is_some());
        sections.extend(below.map(|(name, value)| (format!("{key}.{name}"), value)));
    }
    assert!(looked > 20, "{looked} sections have keys");
}
