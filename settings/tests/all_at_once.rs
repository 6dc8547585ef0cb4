//! A file with many mistakes is refused with all of them.

mod shape;

use relay_settings::{Reading, read_all, read_all_expanded};
use serde::Deserialize;

use crate::shape::{File, Level};

fn said<T>(reading: &Reading<T>) -> Vec<String> {
    reading.mistakes.iter().map(ToString::to_string).collect()
}

#[test]
fn all_mistakes_of_a_file_are_told_in_its_order_and_the_rest_is_read() {
    let text = "prot: 80\nport: many\nname: x\npools: [a, {b: c}, c, [d]]\ngrace: 5 apples\nretry: { base: 1s, bas: 2s }\n\
                level: loud\nlevel: info\nratio: !!float 1\nmax_body: ${NOT_SET}\n";
    let reading = read_all_expanded::<File>(text, shape::var, &[]);
    let expected = [
        "1:1: prot: is not a key here; did you mean `port`?",
        "2:7: port: `many` is not a whole number from 0 to 65535",
        "4:12: pools[1]: is a mapping, where text is needed",
        "4:23: pools[3]: is a list, where text is needed",
        "5:8: grace: `5 apples` is not a duration; write for example 250ms, 5s, 2m, 1h or 7d",
        "6:20: retry.bas: is not a key here; did you mean `base`?",
        "7:8: level: `loud` is not known here; use one of info, warning",
        "8:1: level: stands twice; the first is in line 7; keep one of them",
        "9:16: a tag stands here; leave it out; quotes make a value text",
        "10:11: max_body: the environment variable NOT_SET is not set; set it, or give a default: `${NOT_SET:-default}`",
    ];
    assert_eq!(said(&reading), expected);
    let read = reading.value.as_ref().expect("the rest is good");
    assert_eq!(
        (read.name.as_str(), read.pools.as_slice()),
        ("x", ["a", "c"].map(String::from).as_slice())
    );
    assert_eq!(read.level, Level::Info, "the default: what was said is refused");
    assert!(reading.is_mistaken("level") && reading.is_mistaken("retry") && !reading.is_mistaken("name"));
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is read")]
struct Topic {
    name: String,
    partitions: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Topics {
    topics: Vec<Topic>,
}

#[test]
fn what_is_wrong_only_because_something_else_is_is_not_told_and_all_that_is_missing_is() {
    let reading = read_all::<Topics>(
        "topics:\n- { name: [a], partitions: x }\n- { name: b }\n- { name: c, partitions: 3 }\n- {}\n",
    );
    let expected = [
        "2:11: topics[0].name: is a list, where text is needed",
        "2:28: topics[0].partitions: `x` is not a whole number from 0 to 4294967295",
        "3:3: topics[1]: `partitions` is missing",
        "5:3: topics[3]: `name` is missing",
        "5:3: topics[3]: `partitions` is missing",
    ];
    assert_eq!(said(&reading), expected);
    for mistaken in ["topics[1].partitions", "topics[3].name", "topics[3]"] {
        assert!(reading.is_mistaken(mistaken), "{mistaken}");
    }
    assert!(!reading.is_mistaken("topics[2]") && !reading.is_mistaken("topics[1].name"));
    let topics = reading.value.expect("the rest is good").topics;
    assert_eq!(topics[2].partitions, 3);
}

#[test]
fn a_key_that_is_only_misspelt_is_told_once_and_none_that_is_missing_for_it() {
    let reading = read_all::<Topics>("other: []\n");
    assert_eq!(
        said(&reading),
        [
            "1:1: other: is not a key here; use one of: topics",
            "1:1: `topics` is missing"
        ]
    );
    assert!(
        reading.is_mistaken("topics"),
        "what stands in for it is not what it says"
    );
    let reading = read_all::<Topics>("topic: []\n");
    assert_eq!(
        said(&reading),
        ["1:1: topic: is not a key here; did you mean `topics`?"]
    );
}

#[test]
fn what_is_no_yaml_is_told_with_what_stands_before_it() {
    let reading = read_all::<Topics>("topics: []\ntopics: []\na: 'b\n");
    let told = said(&reading);
    assert!(
        told[0].starts_with("2:1: topics: stands twice") && told.len() == 2,
        "{told:?}"
    );
    assert!(reading.value.is_none());
}

#[test]
fn a_place_is_where_a_key_stands_or_the_nearest_above_it() {
    let reading = read_all::<serde_json::Value>("a:\n  b: 1\n  c:\n    - d\n    - e: 2\n");
    let place = |key: &str| {
        reading
            .place(key)
            .map(|place| (place.mark.line, place.mark.column, place.key))
    };
    assert_eq!(place("a.b"), Some((2, 6, "a.b".to_owned())));
    assert_eq!(place("a.c[1].e"), Some((5, 10, "a.c[1].e".to_owned())));
    assert_eq!(place("a.x.y"), Some((1, 1, "a".to_owned())));
    assert_eq!(place("x"), None);
}

#[test]
fn no_more_than_a_hundred_mistakes_are_gathered() {
    let keys: Vec<String> = (0..300).map(|key| format!("unknown{key}: 1")).collect();
    let text = keys.join("\n");
    assert_eq!(read_all::<File>(&text).mistakes.len(), 100);
}
