//! Fields that nobody here knows, as they come in pieces: JSON objects as text.
//!
//! Joined as clients of the API do it: texts and arrays are appended, objects joined member by member, and everything else is
//! replaced by what comes later; so are members that name a thing, such as `index` and `type`, which do not grow. What can be
//! read back from the whole is the rest behind a beginning ([`rest`]); where there is none, the two are not of one answer.
//!
//! Objects are joined to the depth that workers read ([`DEEPEST`]); what is deeper, in records of earlier versions, is replaced.

use std::borrow::Cow;
use std::collections::HashMap;

use indexmap::IndexMap;
use relay_api::json::{DEEPEST, write_string};
use relay_api::raw::{Object, value};

/// Members that never grow by joining.
const NAMES: [&str; 4] = ["index", "type", "id", "name"];

/// Whether a member names a thing. Some endpoints say these with every piece, and in later ones nothing.
fn is_name(member: &str) -> bool {
    NAMES.contains(&member) || member.ends_with("_id")
}

/// Whether a name says nothing.
fn is_blank(name: &str) -> bool {
    matches!(name, "null" | "\"\"")
}

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
            members.join(&Object::parse(piece).ok()?, DEEPEST)?;
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
            Self::Joined(members) => {
                let mut out = String::new();
                members.write(&mut out);
                Some(out)
            }
        }
    }
}

/// Members in the order in which they came.
#[derive(Debug, Clone, Default)]
pub struct Members(IndexMap<String, Member>);

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

    /// `levels`: how deep objects are joined.
    fn join(&mut self, piece: &Object<'_>, levels: usize) -> Option<()> {
        for (name, more) in piece.iter() {
            match self.0.get_mut(name) {
                Some(_) if is_name(name) && is_blank(more) => {}
                Some(had) if is_name(name) => *had = Member::Written(more.to_owned()),
                Some(had) => had.join(more, levels)?,
                None => {
                    self.0.insert(name.to_owned(), Member::Written(more.to_owned()));
                }
            }
        }
        Some(())
    }

    /// It is JSON: its parts were.
    fn write(&self, out: &mut String) {
        out.push('{');
        for (nth, (name, member)) in self.0.iter().enumerate() {
            if nth > 0 {
                out.push(',');
            }
            write_string(out, name);
            out.push(':');
            member.write(out);
        }
        out.push('}');
    }
}

impl Member {
    fn join(&mut self, more: &str, levels: usize) -> Option<()> {
        let (text, list) = (inside(more, '"', '"'), items(more));
        let object = more.starts_with('{') && levels > 0;
        if let Self::Written(had) = self
            && had.get(..1) == more.get(..1)
        {
            *self = if text.is_some() {
                Self::Text(inside(had, '"', '"')?.to_owned())
            } else if list.is_some() {
                Self::Items(items(had)?.to_owned())
            } else if object {
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
            (Self::Members(had), ..) if object => had.join(&Object::parse(more).ok()?, levels - 1)?,
            _ => *self = Self::Written(more.to_owned()),
        }
        Some(())
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Written(text) => out.push_str(text),
            Self::Text(inside) => out.extend(["\"", inside.as_str(), "\""]),
            Self::Items(inside) => out.extend(["[", inside.as_str(), "]"]),
            Self::Members(members) => members.write(out),
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
    let rest = rest_of_objects(whole, shown, DEEPEST)?;
    // Half a text is no JSON where the two differ within an escape.
    value(rest.clone()).map_err(|_| Diverged)?;
    Ok((rest != "{}").then_some(rest))
}

/// What was shown is no beginning of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Diverged;

fn object(text: &str) -> Result<Object<'_>, Diverged> {
    Object::parse(text).map_err(|_| Diverged)
}

/// The rest of an object, as JSON. `levels`: how deep objects are compared, as they are joined.
fn rest_of_objects(whole: &str, shown: &str, levels: usize) -> Result<String, Diverged> {
    let (whole, shown) = (object(whole)?, object(shown)?);
    let mut seen: HashMap<&str, &str> = shown.iter().collect();
    let mut out = String::from("{");
    for (name, all) in whole.iter() {
        let more = match seen.remove(name) {
            None => Cow::Borrowed(all),
            Some(had) if had == all => continue,
            Some(_) if is_name(name) => Cow::Borrowed(all),
            Some(had) => rest_of_values(all, had, levels)?,
        };
        if out.len() > 1 {
            out.push(',');
        }
        write_string(&mut out, name);
        out.push(':');
        out.push_str(&more);
    }
    out.push('}');
    seen.is_empty().then_some(out).ok_or(Diverged)
}

fn rest_of_values<'a>(all: &'a str, had: &str, levels: usize) -> Result<Cow<'a, str>, Diverged> {
    if let (Some(all), Some(had)) = (inside(all, '"', '"'), inside(had, '"', '"')) {
        let rest = all.strip_prefix(had).ok_or(Diverged)?;
        return Ok(Cow::Owned(format!("\"{rest}\"")));
    }
    if let (Some(all), Some(had)) = (items(all), items(had)) {
        let rest = all.strip_prefix(had).ok_or(Diverged)?;
        let rest = match rest.strip_prefix(',') {
            Some(rest) => rest,
            None if had.is_empty() || rest.is_empty() => rest,
            None => return Err(Diverged),
        };
        return Ok(Cow::Owned(format!("[{rest}]")));
    }
    if all.starts_with('{') && had.starts_with('{') && levels > 0 {
        return rest_of_objects(all, had, levels - 1).map(Cow::Owned);
    }
    Ok(Cow::Borrowed(all))
}

/// What stands in an array, without the white space around it.
fn items(text: &str) -> Option<&str> {
    inside(text, '[', ']').map(str::trim)
}

fn inside(text: &str, open: char, close: char) -> Option<&str> {
    text.strip_prefix(open)?.strip_suffix(close)
}

#[cfg(test)]
mod tests;
