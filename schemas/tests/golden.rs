//! Golden samples: what was once written is read for ever.
//!
//! `golden/NAME.FINGERPRINT.json` holds the writer's schema, the bytes of a full and of a bare record, and what they say.
//! A changed schema has another fingerprint and therefore gets a sample of its own beside the old ones:
//! `RELAY_WRITE_GOLDEN=1 cargo test -p relay-schemas --test golden`. Files that exist are never written again.

mod support;

use std::path::PathBuf;
use std::sync::Once;

use relay_schemas::{Registry, hex};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use support::{Kind, kinds, sample};

#[derive(Serialize, Deserialize)]
struct Golden {
    record: String,
    fingerprint: String,
    schema: Json,
    samples: Vec<Sample>,
}

#[derive(Serialize, Deserialize)]
struct Sample {
    /// Single-object encoding, in hexadecimal.
    bytes: String,
    value: Json,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn path(kind: &Kind) -> PathBuf {
    folder().join(format!("{}.{}.json", kind.name, hex((kind.fingerprint)())))
}

fn to_hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn from_hex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("hexadecimal"), 16);
    pairs.map(|pair| byte(pair).expect("hexadecimal")).collect()
}

fn golden(kind: &Kind) -> Golden {
    let sample = |full| {
        let bytes = sample(kind, full);
        let value = (kind.read)(&Registry::default(), &bytes).expect("type and schema agree");
        Sample {
            bytes: to_hex(&bytes),
            value,
        }
    };
    Golden {
        record: kind.name.to_owned(),
        fingerprint: hex((kind.fingerprint)()),
        schema: serde_json::from_str((kind.schema)()).expect("a schema is JSON"),
        samples: vec![sample(true), sample(false)],
    }
}

/// Whether all that was `once` said is still said; fields retired since then need not be.
fn still_says(now: &Json, once: &Json) -> bool {
    match (now, once) {
        (Json::Object(now), Json::Object(once)) => once
            .iter()
            .all(|(name, once)| now.get(name).is_none_or(|now| still_says(now, once))),
        (Json::Array(now), Json::Array(once)) => {
            now.len() == once.len() && now.iter().zip(once).all(|(now, once)| still_says(now, once))
        }
        _ => now == once,
    }
}

/// Writes what is missing, if the environment asks for it, before any test reads.
fn written() {
    static WRITTEN: Once = Once::new();
    WRITTEN.call_once(|| {
        if std::env::var_os("RELAY_WRITE_GOLDEN").is_none() {
            return;
        }
        for kind in kinds().iter().filter(|kind| !path(kind).exists()) {
            let text = serde_json::to_string_pretty(&golden(kind)).expect("JSON");
            std::fs::write(path(kind), text + "\n").expect("the folder of the golden samples");
        }
    });
}

#[test]
fn every_record_has_a_golden_sample_of_its_present_version() {
    written();
    for kind in kinds() {
        let path = path(&kind);
        let hint = "a schema has changed: see the top of this file for how to write its sample";
        assert!(path.exists(), "{} is missing; {hint}", path.display());
    }
}

#[test]
fn every_golden_sample_ever_written_is_read_as_it_was() {
    written();
    let kinds = kinds();
    let mut read = 0;
    for file in std::fs::read_dir(folder()).expect("the folder of the golden samples") {
        let path = file.expect("a file").path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a golden sample");
        let golden: Golden = serde_json::from_str(&text).expect("a golden sample");
        let kind = kinds.iter().find(|kind| kind.name == golden.record);
        let kind = kind.expect("a record type is kept as long as its samples");
        let registry = Registry::default();
        assert!(registry.learn(&golden.schema.to_string()), "{}", path.display());
        let present = golden.fingerprint == hex((kind.fingerprint)());
        for sample in &golden.samples {
            let bytes = from_hex(&sample.bytes);
            let value =
                (kind.read)(&registry, &bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            if present {
                assert_eq!(value, sample.value, "{}", path.display());
                let again = (kind.rewrite)(&registry, &bytes).expect("read a moment ago");
                assert_eq!(again, bytes, "{}: written otherwise now", path.display());
            } else {
                assert!(still_says(&value, &sample.value), "{}: {value}", path.display());
            }
            read += 1;
        }
    }
    assert!(read >= 2 * kinds.len());
}
