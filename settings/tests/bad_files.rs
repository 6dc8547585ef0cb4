//! Every file of `bad/` is refused, and what is said of it is where, what, and how to mend it.

mod shape;

use std::fmt::Write;
use std::path::Path;

#[test]
fn a_bad_file_is_refused_with_its_place_and_a_way_to_mend_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let files = std::fs::read_dir(&folder).expect("the folder is there");
    let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    let mut said = String::new();
    for file in files {
        let name = file.file_name().expect("a file").to_string_lossy();
        let text = std::fs::read_to_string(&file).expect("it can be read");
        let mistake = shape::read(&text).expect_err(&name);
        writeln!(said, "{name}:{mistake}").expect("a String takes it");
    }
    insta::assert_snapshot!(said);
}

#[test]
fn what_a_variable_holds_is_not_shown_when_it_is_refused() {
    for text in [
        "port: ${WORD}",
        "level: ${WORD}",
        "grace: ${WORD}",
        "on: ${WORD}",
        "max_body: 5 ${WORD}",
    ] {
        let mistake = shape::read(text).expect_err(text);
        let shown = format!("{mistake} {mistake:?}");
        assert!(!shown.contains("hunter2") && shown.contains("${WORD}"), "{shown}");
    }
}

#[test]
fn aliases_cannot_make_a_file_too_large_to_hold() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(text, "a{level}: &a{level} [{items}]").expect("a String takes it");
    }
    let mistake = shape::read(&text).expect_err("too much");
    assert_eq!(mistake.problem, "the file holds too much");
}
