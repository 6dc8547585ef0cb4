//! What a good file says is what is read.

mod shape;

use std::time::Duration;

use proptest::prelude::*;
use relay_settings::{ByteSize, Document, FileError, Spanned, from_str};
use shape::{Bus, File, Kafka, read};

fn name(text: &str) -> String {
    read(text).expect("it can be read").name
}

#[test]
fn a_value_is_one_value_whatever_the_variable_holds() {
    for (text, expected) in [
        ("name: ${HASH}", "a #b"),
        ("name: ${COLON}", "a: b"),
        ("name: ${TAB}", "C:\\temp\\new"),
        ("name: \"${TAB}\"", "C:\\temp\\new"),
        ("name: \"${QUOTES}\"", "it's \"so\""),
        ("name: '${QUOTES}'", "it's \"so\""),
        ("name: ${NULL}", "null"),
        ("name: ${DIGITS}", "421337"),
        ("name: '${EMPTY:-}'", ""),
        ("name: x${EMPTY:-default}", "xdefault"),
        ("name: x-${WORD}-${PORT}", "x-hunter2-8080"),
        ("name: ${MISSING:-a: b}", "a: b"),
        ("name: $${WORD} and $HOME, 5$", "${WORD} and $HOME, 5$"),
        ("name: a#b${WORD} # like ${MISSING}", "a#bhunter2"),
    ] {
        // `a: b` inside a plain scalar is no YAML; behind a quote it is a default like any other.
        let text = text.replace("${MISSING:-a: b}", "\"${MISSING:-a: b}\"");
        if let Some(plain) = text.strip_prefix("name: $${WORD} and") {
            assert_eq!(name(&format!("name: '$${{WORD}} and{plain}'")), expected);
        }
        assert_eq!(name(&text), expected, "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_of_a_variable_is_taken_for_yaml(value in ".+") {
        for text in ["name: ${X}\nport: 7", "name: \"${X}\"\nport: 7", "{ name: '${X}', port: 7 }"] {
            let document = Document::parse(text).expect("it is YAML");
            let file: File = document.expanded(|_| Some(value.clone())).expect("it is set").read().expect("it is text");
            prop_assert_eq!(&file.name, &value);
            prop_assert_eq!(file.port, 7);
        }
    }
}

#[test]
fn a_variable_that_is_set_to_nothing_is_as_good_as_not_set() {
    let refused = read("name: ${EMPTY}").expect_err("it is nothing").to_string();
    assert_eq!(
        refused,
        "1:7: name: the environment variable EMPTY is set to nothing; set it, or give a default: `${EMPTY:-default}`"
    );
}

#[test]
fn a_plain_reference_takes_the_type_of_its_field() {
    let file =
        read("port: ${PORT}\ncount: 1${PORT}\ntitle: ${DIGITS}\nlevel: ${MISSING:-warning}").expect("good");
    assert_eq!((file.port, file.count), (8080, 18080));
    assert_eq!(file.title.as_deref(), Some("421337"));
    assert_eq!(file.level, shape::Level::Warning);
    assert_eq!(
        read("title: ${MISSING:-null}").expect("good").title,
        None,
        "a default means what the file would"
    );
    assert_eq!(
        read("title: ${NULL}").expect("good").title.as_deref(),
        Some("null")
    );
}

#[test]
fn a_file_with_a_byte_order_mark_is_the_same_file() {
    let text = "name: a\nport: 7\n";
    assert_eq!(read(&format!("\u{feff}{text}")), read(text));
    let mistake = read("\u{feff}prot: 7").expect_err("no key");
    assert_eq!((mistake.mark.line, mistake.mark.column), (1, 1));
}

#[test]
fn durations_and_sizes_are_written_with_their_units() {
    let file = read("grace: 1m 30s\nmax_body: 64MiB\nretry: { base: 250ms }").expect("good");
    assert_eq!(file.grace, Duration::from_secs(90));
    assert_eq!(file.max_body, ByteSize::mib(64));
    assert_eq!(file.retry.base, Duration::from_millis(250));
    assert_eq!(read("max_body: 0").expect("nothing").max_body, ByteSize::b(0));
}

#[test]
fn a_variant_is_told_by_the_key_that_its_enum_is_named_after() {
    let file = read("bus: { brokers: b, kind: kafka, in_flight: 3 }").expect("good");
    let brokers = "b".to_owned();
    assert_eq!(
        file.bus,
        Bus::Kafka(Kafka {
            brokers,
            in_flight: 3
        })
    );
    assert_eq!(read("bus: { kind: embedded }").expect("good").bus, Bus::Embedded);
}

#[test]
fn a_section_with_everything_commented_out_and_an_empty_file_have_the_defaults() {
    for text in ["", "# nothing\n", "retry:\n  # base: 5s\n", "pools:\nweights:\n"] {
        assert_eq!(read(text), Ok(File::default()), "{text}");
    }
}

#[test]
fn aliases_repeat_what_they_name() {
    let file = read("pools: [&a x, *a]\nname: *a").expect("good");
    assert_eq!(
        (file.pools, file.name.as_str()),
        (vec!["x".to_owned(), "x".to_owned()], "x")
    );
}

#[test]
fn a_spanned_value_knows_its_place() {
    let lists: Vec<Vec<Spanned<String>>> = from_str("- [a,\n   b]\n- - c\n").expect("good");
    let places: Vec<_> = lists
        .iter()
        .flatten()
        .map(|text| {
            (
                text.value.as_str(),
                text.place.mark.to_string(),
                text.place.key.as_str(),
            )
        })
        .collect();
    assert_eq!(
        places,
        [
            ("a", "1:4".to_owned(), "[0][0]"),
            ("b", "2:4".to_owned(), "[0][1]"),
            ("c", "3:5".to_owned(), "[1][0]")
        ]
    );
}

#[test]
fn a_mistake_of_a_file_names_the_file() {
    let folder = std::env::temp_dir().join(format!("relay-settings-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("relay.yaml");
    let read = || relay_settings::read_file::<File>(&path, &[], |_, _| false);
    let missing = read().err().expect("it is not there");
    assert!(
        matches!(&missing, FileError::Unreadable { .. }) && missing.to_string().contains("relay.yaml"),
        "{missing}"
    );
    std::fs::write(&path, "name: a\nprot: 7\n").expect("it can be written");
    let mistakes = read().expect("it can be read").mistakes;
    assert_eq!(
        FileError::wrong(&path, mistakes[0].clone()).to_string(),
        format!(
            "{}:2:1: prot: is not a key here; did you mean `port`?",
            path.display()
        )
    );
    std::fs::remove_dir_all(&folder).expect("it can be removed");
}

#[test]
fn a_key_that_moved_is_refused_with_its_new_place_and_spelling() {
    let moved = [("retry.first_ms", "wait.first"), ("colour", "paint.colour")];
    for (text, said) in [
        (
            "retry: { first_ms: 1500 }",
            "1:10: retry.first_ms: `first_ms` is spelled `wait: {first: 1500ms}` now",
        ),
        (
            "colour: red",
            "1:1: colour: `colour` is spelled `paint: {colour: red}` now",
        ),
        ("prot: 80", "1:1: prot: is not a key here; did you mean `port`?"),
    ] {
        let document = Document::parse(text).expect("it is YAML");
        let mistake = document.read_moved::<File>(&moved).expect_err(text);
        assert_eq!(mistake.to_string(), said);
    }
}
