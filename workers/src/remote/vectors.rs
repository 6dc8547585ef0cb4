//! The vectors of an embeddings answer. Pure.

use std::collections::HashSet;

use relay_api::raw::Object;
use relay_schemas::Embedding;

use super::choice::{number, present, string};

/// Reads `data`: a list of vectors, each as numbers or as base64 of little-endian floats. Nothing, if any cannot be read,
/// or two are of one index.
pub fn read(data: &str) -> Option<Vec<Embedding>> {
    let list: Vec<Object<'_>> = serde_json::from_str(data).ok()?;
    let vectors = list.iter().enumerate();
    let vectors: Vec<Embedding> = vectors
        .map(|(at, vector)| one(vector, at as u32))
        .collect::<Option<_>>()?;
    let distinct: HashSet<u32> = vectors.iter().map(|vector| vector.index).collect();
    (distinct.len() == vectors.len()).then_some(vectors)
}

fn one(vector: &Object<'_>, at: u32) -> Option<Embedding> {
    let raw = present(vector, "embedding")?;
    let values: Vec<f32> = match string(raw) {
        Some(text) => floats(&text)?,
        None => serde_json::from_str(raw).ok()?,
    };
    // JSON has no other numbers, and neither have the records that hold the answer as JSON.
    if !values.iter().all(|value| value.is_finite()) {
        return None;
    }
    let index = match present(vector, "index") {
        Some(index) => number(index)?,
        None => at,
    };
    Some(Embedding { index, values })
}

fn floats(text: &str) -> Option<Vec<f32>> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    let chunks = bytes.chunks_exact(4);
    if !chunks.remainder().is_empty() {
        return None;
    }
    let float = |bytes: &[u8]| bytes.try_into().map(f32::from_le_bytes).ok();
    chunks.map(float).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_come_as_numbers_or_as_base64_and_say_the_same() {
        let expected = |index| Embedding {
            index,
            values: vec![0.5, -1.0],
        };
        let data = r#"[{"object":"embedding","index":1,"embedding":[0.5,-1]},{"embedding":"AAAAPwAAgL8=","index":0}]"#;
        assert_eq!(read(data), Some(vec![expected(1), expected(0)]));
        assert_eq!(read(r#"[{"embedding":[0.5,-1.0]}]"#), Some(vec![expected(0)]));
        for data in [
            "{}",
            r#"[{"embedding":"AAA="}]"#,
            r#"[{"embedding":["a"]}]"#,
            r#"[{"embedding":[1e39]}]"#,
            r#"[{"embedding":"AADAfw=="}]"#,
            "[{}]",
            r#"[{"index":0,"embedding":[1]},{"index":0,"embedding":[2]}]"#,
            r#"[{"index":-1,"embedding":[1]}]"#,
        ] {
            assert_eq!(read(data), None, "{data}");
        }
    }
}
