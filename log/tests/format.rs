//! The page that describes the format, a sample of it, and the code say the same.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs;
use std::path::Path;

use relay_log::{Batch, Options};
use support::{NOW, Place, keyed, note, record, sync, values};

/// The first segment of a small log, closed.
fn sample() -> Vec<u8> {
    let place = Place::new();
    let (mut log, _) = place.try_open(&Options::default()).unwrap();
    let batch = Batch {
        records: vec![record(0x0001_0002, "value"), keyed(0x0003_0000, "key", None)],
        notes: vec![note("committed", "17")],
    };
    log.append(&[batch], NOW).unwrap();
    sync(&mut log);
    log.append(
        &[Batch {
            records: vec![record(0x0001_0002, "another")],
            notes: vec![],
        }],
        NOW + 1,
    )
    .unwrap();
    log.roll(NOW + 2).unwrap();
    fs::read(&place.segments()[0]).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .chunks(32)
        .map(|line| {
            line.iter()
                .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
                + "\n"
        })
        .collect()
}

fn golden() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/segment.hex")).unwrap()
}

#[test]
fn a_segment_is_written_byte_by_byte_as_the_sample() {
    assert_eq!(
        hex(&sample()),
        golden(),
        "if this is meant, it is a new version of the format"
    );
}

#[test]
fn the_sample_stays_readable() {
    let digits: Vec<u8> = golden().bytes().filter(u8::is_ascii_hexdigit).collect();
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
        .collect();
    let place = Place::new();
    fs::write(place.path().join("00000000000000000001.seg"), bytes).unwrap();
    let (log, opened) = place.open();
    assert_eq!((opened.cut, opened.damaged.len()), (None, 0));
    let expected = [(0, Some("value".to_owned())), (1, Some("another".to_owned()))];
    assert_eq!(values(&log, 0x0001_0002), expected);
    assert_eq!(values(&log, 0x0003_0000), [(0, Some(String::new()))]);
    assert_eq!(log.notes()[&b"committed"[..]], "17");
}

#[test]
fn the_page_names_every_byte_of_the_three_heads() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/log-format.md");
    let page = fs::read_to_string(page).unwrap();
    let mut ends = Vec::new();
    let mut end = None;
    for line in page.lines() {
        let mut cells = line.split('|').map(str::trim);
        let row = (cells.nth(1), cells.next());
        let numbers = match row {
            (Some(at), Some(bytes)) => at.parse::<usize>().ok().zip(bytes.parse::<usize>().ok()),
            _ => None,
        };
        match (numbers, end) {
            (Some((at, bytes)), held) => {
                assert_eq!(at, held.unwrap_or(0), "{line}");
                end = Some(at + bytes);
            }
            (None, Some(held)) => {
                ends.push(held);
                end = None;
            }
            (None, None) => {}
        }
    }
    assert_eq!(
        ends,
        [
            64,
            relay_log::format::entry::LENGTH,
            relay_log::format::footer::TRAILER
        ]
    );
    assert_eq!(relay_log::format::header::LENGTH, 2 * 64);
}
