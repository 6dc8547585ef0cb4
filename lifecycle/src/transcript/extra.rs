//! Fields that nobody here knows, as they come in pieces: JSON objects as text.
//!
//! Joined as clients of the API do it: texts and arrays are appended, objects joined member by member, and everything else is
//! replaced by what comes later; so are `index` and `type`, which name a thing and do not grow. What can be read back from the
//! whole is the rest behind a beginning ([`rest`]); where there is none, the two are not of one answer.

use relay_api::raw::{Object, value};

/// Two of these never grow by joining.
const NAMES: [&str; 2] = ["index", "type"];

/// An object as it grows: read once, and written when it is asked for, so that each piece costs no more than itself.
#[derive(Debug, Clone, Default)]
pub enum Growing {
    /// Nothing has come.
    #[default]
    Nothing,
    /// The first piece, as it came.
    Piece(String),
    /// More than one.
    Joined(Members),
}

impl Growing {
    /// Joins `piece`. What is no JSON object replaces, and is replaced.
    pub fn join(&mut self, piece: &str) {
        let joined = match std::mem::take(self) {
            Self::Nothing => None,
            Self::Piece(first) => Members::read(&first),
            Self::Joined(members) => Some(members),
        };
        let joined = joined.and_then(|mut members| {
            members.join(&Object::parse(piece).ok()?)?;
            Some(members)
        });
        *self = joined.map_or_else(|| Self::Piece(piece.to_owned()), Self::Joined);
    }

    /// Whether nothing has come.
    pub const fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    /// As JSON.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::Piece(piece) => Some(piece.clone()),
            Self::Joined(members) => Some(members.to_json()),
        }
    }
}

/// Members in the order in which they came.
#[derive(Debug, Clone, Default)]
pub struct Members(Vec<(String, Member)>);

/// A value as it grows; what has not grown yet is kept as it was written.
#[derive(Debug, Clone)]
enum Member {
    Written(String),
    /// What stands between the quotes.
    Text(String),
    /// What stands between the brackets.
    Items(String),
    Members(Members),
}

impl Members {
    fn read(text: &str) -> Option<Self> {
        let object = Object::parse(text).ok()?;
        let written = |(name, text): (&str, &str)| (name.to_owned(), Member::Written(text.to_owned()));
        Some(Self(object.iter().map(written).collect()))
    }

    fn join(&mut self, piece: &Object<'_>) -> Option<()> {
        for (name, more) in piece.iter() {
            match self.0.iter_mut().find(|(known, _)| known == name) {
                Some((_, had)) if !NAMES.contains(&name) => had.join(more)?,
                Some((_, had)) => *had = Member::Written(more.to_owned()),
                None => self.0.push((name.to_owned(), Member::Written(more.to_owned()))),
            }
        }
        Some(())
    }

    fn to_json(&self) -> String {
        let mut object = Object::default();
        for (name, member) in &self.0 {
            // It is JSON: its parts were.
            if let Ok(value) = value(member.to_json()) {
                object.set(name.as_str(), value);
            }
        }
        object.to_json()
    }
}

impl Member {
    fn join(&mut self, more: &str) -> Option<()> {
        let (text, list) = (inside(more, '"', '"'), items(more));
        if let Self::Written(had) = self
            && had.get(..1) == more.get(..1)
        {
            *self = if text.is_some() {
                Self::Text(inside(had, '"', '"')?.to_owned())
            } else if list.is_some() {
                Self::Items(items(had)?.to_owned())
            } else if more.starts_with('{') {
                Self::Members(Members::read(had)?)
            } else {
                Self::Written(more.to_owned())
            };
        }
        match (&mut *self, text, list) {
            (Self::Text(had), Some(more), _) => had.push_str(more),
            (Self::Items(had), _, Some(more)) => {
                if !had.is_empty() && !more.is_empty() {
                    had.push(',');
                }
                had.push_str(more);
            }
            (Self::Members(had), ..) if more.starts_with('{') => had.join(&Object::parse(more).ok()?)?,
            _ => *self = Self::Written(more.to_owned()),
        }
        Some(())
    }

    fn to_json(&self) -> String {
        match self {
            Self::Written(text) => text.clone(),
            Self::Text(inside) => format!("\"{inside}\""),
            Self::Items(inside) => format!("[{inside}]"),
            Self::Members(members) => members.to_json(),
        }
    }
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
        let mut whole = Growing::default();
        for piece in pieces {
            whole.join(piece);
        }
        whole.text().expect("there was a piece")
    }

    #[test]
    fn many_pieces_cost_no_more_than_what_they_say() {
        let mut whole = Growing::default();
        for _ in 0..200_000 {
            whole.join(r#"{"s":"more","l":["more"],"o":{"d":"more"}}"#);
        }
        let text = whole.text().expect("there were pieces");
        assert_eq!(text.matches("more").count(), 600_000);
    }

    #[test]
    fn what_is_no_object_or_says_a_name_twice_replaces_and_is_replaced() {
        for (pieces, expected) in [
            (&[r#"{"a":"x"}"#, "7", r#"{"b":1}"#][..], r#"{"b":1}"#),
            (&[r#"{"a":"x"}"#, r#"{"a":1}"#, r#"{"a":"y"}"#], r#"{"a":"y"}"#),
            (&[r#"{"a":{"b":1,"b":2}}"#, r#"{"a":{}}"#], r#"{"a":{}}"#),
            (&[r#"{"a":{}}"#, r#"{"a":[1]}"#, r#"{"a":[2]}"#], r#"{"a":[1,2]}"#),
            (&[r#"{"a":"é"}"#, r#"{"a":null}"#, r#"{"a":nul}"#], r#"{"a":nul}"#),
        ] {
            assert_eq!(joined(pieces), expected, "{pieces:?}");
        }
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
            let mut shown = Growing::Piece(joined(&pieces[..shown]));
            let rest = rest(Some(expected), shown.text().as_deref()).expect("a beginning");
            shown.join(&rest.expect("more"));
            assert_eq!(shown.text().as_deref(), Some(expected));
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
