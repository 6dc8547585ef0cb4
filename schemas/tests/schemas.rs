//! The schemas against the types, against their own documentation, and against bytes that are no records.

mod support;

use proptest::prelude::*;
use relay_schemas::{DecodeError, Registry};
use serde_json::Value as Json;
use support::{kinds, sample};

#[test]
fn types_and_schemas_agree_in_every_field() {
    for kind in kinds() {
        for full in [true, false] {
            let bytes = sample(&kind, full);
            let again = (kind.rewrite)(&Registry::default(), &bytes);
            let again = again.unwrap_or_else(|error| panic!("{}: {error}", kind.name));
            assert_eq!(again, bytes, "{} (full: {full}) came back otherwise", kind.name);
        }
    }
}

#[test]
fn every_type_and_every_field_is_documented() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/avsc");
    for file in std::fs::read_dir(folder).expect("the schemas") {
        let path = file.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("a schema");
        let schema: Json = serde_json::from_str(&text).expect("a schema is JSON");
        let mut undocumented = Vec::new();
        look(&schema, &mut undocumented);
        assert!(undocumented.is_empty(), "{}: {undocumented:?}", path.display());
    }
}

/// Collects the names of types and fields without documentation.
fn look(schema: &Json, undocumented: &mut Vec<String>) {
    match schema {
        Json::Array(branches) => branches.iter().for_each(|branch| look(branch, undocumented)),
        Json::Object(object) => {
            let named = object.get("name").and_then(Json::as_str);
            let documented = object
                .get("doc")
                .and_then(Json::as_str)
                .is_some_and(|doc| doc.len() > 3);
            if let Some(name) = named
                && !documented
            {
                undocumented.push(name.to_owned());
            }
            for inner in ["fields", "type", "items"] {
                if let Some(inner) = object.get(inner) {
                    look(inner, undocumented);
                }
            }
        }
        _ => {}
    }
}

#[test]
fn what_is_no_record_is_told_apart() {
    let kind = kinds()
        .into_iter()
        .find(|kind| kind.name == "Request")
        .expect("a record");
    let good = sample(&kind, true);
    let registry = Registry::default();
    let read = |bytes: &[u8]| (kind.read)(&registry, bytes).expect_err("no record");
    assert!(matches!(read(b""), DecodeError::NotSingleObject(0)));
    assert!(matches!(
        read(b"{\"json\": true}"),
        DecodeError::NotSingleObject(14)
    ));
    let mut unknown = good.clone();
    unknown[2] ^= 1;
    assert!(matches!(read(&unknown), DecodeError::UnknownSchema(_)));
    let mut longer = good.clone();
    longer.push(0);
    assert!(matches!(read(&longer), DecodeError::Malformed { .. }));
    let mut boundless = good[..10].to_vec();
    // The first field is a text: a length of 2^62 bytes.
    boundless.extend([0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]);
    assert!(matches!(read(&boundless), DecodeError::Malformed { .. }));
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(noise in proptest::collection::vec(any::<u8>(), 0..200), which in any::<prop::sample::Index>()) {
        let kinds = kinds();
        let kind = which.get(&kinds);
        let mut bytes = vec![0xC3, 0x01];
        bytes.extend((kind.fingerprint)());
        bytes.extend(&noise);
        let _ = (kind.read)(&Registry::default(), &bytes);
        let _ = (kind.read)(&Registry::default(), &noise);
    }

    #[test]
    fn a_cut_record_is_an_error(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>()) {
        let kinds = kinds();
        let kind = which.get(&kinds);
        let bytes = sample(kind, true);
        let cut = &bytes[..at.index(bytes.len())];
        prop_assert!((kind.read)(&Registry::default(), cut).is_err());
    }

    #[test]
    fn a_flipped_bit_makes_no_reader_panic(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let kinds = kinds();
        let kind = which.get(&kinds);
        let mut bytes = sample(kind, true);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let _ = (kind.read)(&Registry::default(), &bytes);
    }

    #[test]
    fn no_schema_makes_the_registry_panic(text in ".{0,200}") {
        Registry::default().learn(&text);
    }
}
