//! Fields that nobody here knows, as they come in pieces: JSON objects as text.
//!
//! Joined as clients of the API do it: texts and arrays are appended, objects joined member by member, and everything else is
//! replaced by what comes later; so are `index` and `type`, which name a thing and do not grow. What can be read back from the
//! whole is the rest behind a beginning ([`rest`]); where there is none, the two are not of one answer.

use relay_api::raw::{Object, value};

/// Two of these never grow by joining.
const NAMES: [&str; 2] = ["index", "type"];

/// Joins `piece` to `whole`. What is no JSON object replaces, and is replaced.
pub fn join(whole: &mut Option<String>, piece: &str) {
    let joined = whole.as_deref().and_then(|whole| {
        let (mut whole, piece) = (Object::parse(whole).ok()?, Object::parse(piece).ok()?);
        join_objects(&mut whole, &piece)?;
        Some(whole.to_json())
    });
    *whole = Some(joined.unwrap_or_else(|| piece.to_owned()));
}

fn join_objects(whole: &mut Object<'_>, piece: &Object<'_>) -> Option<()> {
    for (name, more) in piece.iter() {
        let joined = match whole.get(name) {
            Some(had) if !NAMES.contains(&name) => join_values(had, more)?,
            _ => more.to_owned(),
        };
        whole.set(name.to_owned(), value(joined).ok()?);
    }
    Some(())
}

fn join_values(had: &str, more: &str) -> Option<String> {
    if let (Some(had), Some(more)) = (inside(had, '"', '"'), inside(more, '"', '"')) {
        return Some(format!("\"{had}{more}\""));
    }
    if let (Some(had), Some(more)) = (items(had), items(more)) {
        let comma = if had.is_empty() || more.is_empty() {
            ""
        } else {
            ","
        };
        return Some(format!("[{had}{comma}{more}]"));
    }
    if had.starts_with('{') && more.starts_with('{') {
        let mut had = Object::parse(had).ok()?;
        join_objects(&mut had, &Object::parse(more).ok()?)?;
        return Some(had.to_json());
    }
    Some(more.to_owned())
}

/// What has to be joined to `shown` so that it becomes `whole`: perhaps nothing.
///
/// # Errors
/// If nothing can.
pub fn rest(whole: Option<&str>, shown: Option<&str>) -> Result<Option<String>, Diverged> {
    let (Some(whole), Some(shown)) = (whole, shown) else {
        return match shown {
            Some(_) => Err(Diverged),
            None => Ok(whole.map(str::to_owned)),
        };
    };
    if whole == shown {
        return Ok(None);
    }
    let (whole, shown) = (object(whole)?, object(shown)?);
    let rest = rest_of_objects(&whole, &shown)?;
    Ok((!rest.is_empty()).then(|| rest.to_json()))
}

/// What was shown is no beginning of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Diverged;

fn object(text: &str) -> Result<Object<'_>, Diverged> {
    Object::parse(text).map_err(|_| Diverged)
}

fn rest_of_objects<'a>(whole: &Object<'a>, shown: &Object<'_>) -> Result<Object<'a>, Diverged> {
    if shown.iter().any(|(name, _)| whole.get(name).is_none()) {
        return Err(Diverged);
    }
    let mut rest = Object::default();
    for (name, all) in whole.iter() {
        let more = match shown.get(name) {
            None => all.to_owned(),
            Some(had) if had == all => continue,
            Some(_) if NAMES.contains(&name) => all.to_owned(),
            Some(had) => rest_of_values(all, had)?,
        };
        rest.set(name.to_owned(), value(more).map_err(|_| Diverged)?);
    }
    Ok(rest)
}

fn rest_of_values(all: &str, had: &str) -> Result<String, Diverged> {
    if let (Some(all), Some(had)) = (inside(all, '"', '"'), inside(had, '"', '"')) {
        let rest = all.strip_prefix(had).ok_or(Diverged)?;
        return Ok(format!("\"{rest}\""));
    }
    if let (Some(all), Some(had)) = (items(all), items(had)) {
        let rest = all.strip_prefix(had).ok_or(Diverged)?;
        let rest = match rest.strip_prefix(',') {
            Some(rest) => rest,
            None if had.is_empty() || rest.is_empty() => rest,
            None => return Err(Diverged),
        };
        return Ok(format!("[{rest}]"));
    }
    if all.starts_with('{') && had.starts_with('{') {
        return Ok(rest_of_objects(&object(all)?, &object(had)?)?.to_json());
    }
    Ok(all.to_owned())
}

/// What stands in an array, without the white space around it.
fn items(text: &str) -> Option<&str> {
    inside(text, '[', ']').map(str::trim)
}

fn inside(text: &str, open: char, close: char) -> Option<&str> {
    text.strip_prefix(open)?.strip_suffix(close)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(pieces: &[&str]) -> String {
        let mut whole = None;
        for piece in pieces {
            join(&mut whole, piece);
        }
        whole.expect("there was a piece")
    }

    #[test]
    fn texts_and_arrays_grow_objects_are_joined_and_the_rest_is_replaced() {
        let pieces = [
            r#"{"t":"a\ud83d","l":[ ],"n":1,"o":{"id":"x","type":"audio","d":"A"},"big":9007199254740993}"#,
            r#"{"t":"\ude00b","l":[1, 2],"n":2,"o":{"type":"audio","d":"B"}}"#,
            r#"{"l":[3],"n":null,"new":1e400}"#,
        ];
        let expected = r#"{"t":"a\ud83d\ude00b","l":[1, 2,3],"n":null,"o":{"id":"x","type":"audio","d":"AB"},"big":9007199254740993,"new":1e400}"#;
        assert_eq!(joined(&pieces), expected);
        for shown in 1..3 {
            let mut shown = Some(joined(&pieces[..shown]));
            let rest = rest(Some(expected), shown.as_deref()).expect("a beginning");
            join(&mut shown, &rest.expect("more"));
            assert_eq!(shown.as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_is_no_beginning_has_no_rest() {
        let cases = [
            (Some(r#"{"t":"abc"}"#), Some(r#"{"t":"ax"}"#)),
            (Some(r#"{"l":[12]}"#), Some(r#"{"l":[1]}"#)),
            (Some(r#"{"a":1}"#), Some(r#"{"b":1}"#)),
            (None, Some(r#"{"b":1}"#)),
        ];
        for (whole, shown) in cases {
            assert_eq!(rest(whole, shown), Err(Diverged), "{whole:?} {shown:?}");
        }
        assert_eq!(rest(Some("{}"), Some("{}")), Ok(None));
        assert_eq!(rest(None, None), Ok(None));
    }
}
