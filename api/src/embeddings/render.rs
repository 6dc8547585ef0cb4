//! The list of vectors.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use relay_schemas::{Embedding, Final};

use super::parse::Encoding;
use crate::json::write_string;
use crate::response::{Facts, list, members, put};

/// The answer as one object.
pub fn vectors(facts: Facts<'_>, end: &Final, embeddings: &[Embedding], encoding: Encoding) -> String {
    let values: usize = embeddings.iter().map(|vector| vector.values.len()).sum();
    let mut out = String::with_capacity(256 + 12 * values);
    out.push_str(r#"{"object":"list","data":["#);
    list(&mut out, embeddings, |out, vector| {
        put(
            out,
            format_args!(r#"{{"object":"embedding","index":{},"embedding":"#, vector.index),
        );
        match encoding {
            Encoding::Float => numbers(out, &vector.values),
            Encoding::Base64 => bytes(out, &vector.values),
        }
        out.push('}');
    });
    out.push_str(r#"],"model":"#);
    write_string(&mut out, facts.model);
    let tokens = end.usage.prompt_tokens.0;
    put(
        &mut out,
        format_args!(r#","usage":{{"prompt_tokens":{tokens},"total_tokens":{tokens}"#),
    );
    members(
        &mut out,
        end.usage_details.as_deref(),
        &["prompt_tokens", "total_tokens"],
    );
    out.push('}');
    members(
        &mut out,
        end.extra.as_deref(),
        &["object", "data", "model", "usage"],
    );
    out.push('}');
    out
}

/// In the shortest form that reads back as the same number; JSON has no other than finite ones.
fn numbers(out: &mut String, values: &[f32]) {
    out.push('[');
    list(out, values, |out, value| {
        if value.is_finite() {
            out.push_str(&value.to_string());
        } else {
            out.push_str("null");
        }
    });
    out.push(']');
}

fn bytes(out: &mut String, values: &[f32]) {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    out.push('"');
    STANDARD.encode_string(bytes, out);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use relay_schemas::samples;

    use super::*;

    #[test]
    fn vectors_are_lists_of_numbers_or_base64() {
        let facts = Facts {
            request_id: "r",
            model: "asked",
            created: 7,
        };
        let embeddings = [Embedding {
            index: 0,
            values: vec![0.1, -1.0, 1e-9],
        }];
        let float = vectors(facts, &samples::last(), &embeddings, Encoding::Float);
        assert_eq!(
            float,
            r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.1,-1,0.000000001]}],"model":"asked","usage":{"prompt_tokens":3,"total_tokens":3}}"#
        );
        let base64 = vectors(facts, &samples::last(), &embeddings, Encoding::Base64);
        assert!(base64.contains(r#""embedding":"zczMPQAAgL9fcIkw""#), "{base64}");
    }
}
