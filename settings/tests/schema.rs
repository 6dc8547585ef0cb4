//! The schema of a file says what its reader takes.

mod shape;

use relay_settings::{Describe, schema};

struct Words;

impl Describe for Words {
    fn describe(&self, key: &str) -> Option<String> {
        (key == "bus[kafka].brokers").then(|| "Where they are.".to_owned())
    }
}

#[test]
fn a_schema_has_the_keys_kinds_and_words_that_the_reader_takes() {
    let schema = schema::<shape::File>("A file", true, &Words);
    let shown = serde_json::to_string_pretty(&schema).expect("it is JSON");
    insta::assert_snapshot!(shown);
}

#[test]
fn where_no_variables_are_put_in_none_are_allowed() {
    let schema = schema::<shape::File>("A file", false, &Words);
    assert!(!schema.to_string().contains("\\$"), "{schema}");
    assert_eq!(schema["properties"]["port"]["type"], "integer");
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is read")]
struct Outer {
    inner: Vec<Inner>,
    beside: Option<Inner>,
    last: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is read")]
struct Inner {
    name: String,
    size: relay_settings::ByteSize,
    more: u8,
}

#[test]
fn the_keys_that_are_needed_are_those_of_the_mapping_itself() {
    let schema = schema::<Outer>("Outer", false, &Words);
    assert_eq!(schema["required"], serde_json::json!(["inner", "last"]));
    let inner = &schema["properties"]["inner"]["items"];
    assert_eq!(inner["required"], serde_json::json!(["name", "size", "more"]));
    let beside = &schema["properties"]["beside"]["type"];
    assert_eq!(
        *beside,
        serde_json::json!(["object", "null"]),
        "it may be left out"
    );
}
