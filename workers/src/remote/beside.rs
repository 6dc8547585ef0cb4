//! What an endpoint says beside its answer: at its top and of its usage, in fields that nobody here knows. They are carried on
//! as they came, within a bound of their own, so that they never take the room of what was said. What does not fit is dropped,
//! and the answer says so under `relay_dropped`, in its trace and to its client; what of the request was not sent stands under
//! `relay_omitted`. Pure.

use indexmap::IndexMap;
use relay_api::omitted::OMITTED;
use relay_api::raw::Object;
use serde_json::value::{RawValue, to_raw_value};

use crate::dropped::Dropped;

/// Bytes of them that one answer may have, as JSON, with room for the note.
pub const MOST_BESIDE: usize = 64 * 1_024;
/// The longest notes, with their names.
const NOTES: usize = 1_024;
/// Where the note of what did not fit stands.
const DROPPED: &str = "relay_dropped";
/// The longest that a byte of a name is written.
const ESCAPED: usize = 6;
/// Quotes, colon and comma.
const AROUND: usize = 4;

/// As they came, in their order.
type Fields = IndexMap<String, Box<RawValue>>;

/// What came beside an answer.
#[derive(Debug, Default)]
pub struct Beside {
    extra: Fields,
    usage: Fields,
    bytes: usize,
    dropped: Dropped,
}

impl Beside {
    /// Takes fields of the top; what comes again replaces.
    pub fn take(&mut self, fields: &Object<'_>) {
        let mut kept = std::mem::take(&mut self.extra);
        self.keep(&mut kept, fields);
        self.extra = kept;
    }

    /// Takes the details of the usage, which replace those before.
    pub fn take_usage(&mut self, details: &Object<'_>) {
        self.bytes -= size_of_all(&self.usage);
        let mut kept = Fields::default();
        self.keep(&mut kept, details);
        self.usage = kept;
    }

    fn keep(&mut self, kept: &mut Fields, fields: &Object<'_>) {
        for (name, raw) in fields.iter() {
            let before = kept.get(name).map_or(0, |raw| size(name, raw.get()));
            let bytes = self.bytes - before + size(name, raw);
            let raw = RawValue::from_string(raw.to_owned());
            match raw {
                Ok(raw) if bytes <= MOST_BESIDE - NOTES => {
                    self.bytes = bytes;
                    kept.insert(name.to_owned(), raw);
                }
                Ok(raw) => self.dropped.add(name.len() + raw.get().len()),
                // It came out of an object that was read.
                Err(_) => {}
            }
        }
    }

    /// What did not fit.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// The usage's details and the top's fields, each an object, if there are any, with notes of all that was `dropped` and `omitted`.
    pub fn finish(mut self, dropped: Dropped, omitted: &[&'static str]) -> (Option<String>, Option<String>) {
        if let (false, Ok(note)) = (dropped.is_nothing(), to_raw_value(&dropped)) {
            self.extra.insert(DROPPED.to_owned(), note);
        }
        if let (false, Ok(note)) = (omitted.is_empty(), to_raw_value(omitted)) {
            self.extra.insert(OMITTED.to_owned(), note);
        }
        let text = |fields: &Fields| {
            let text = serde_json::to_string(fields).ok();
            text.filter(|_| !fields.is_empty())
        };
        (text(&self.usage), text(&self.extra))
    }
}

/// What a field takes as JSON, at most.
fn size(name: &str, raw: &str) -> usize {
    name.len() * ESCAPED + AROUND + raw.len()
}

fn size_of_all(fields: &Fields) -> usize {
    fields.iter().map(|(name, raw)| size(name, raw.get())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(tops: &[String], usage: &str) -> (Option<String>, Option<String>) {
        let mut beside = Beside::default();
        for top in tops {
            beside.take(&Object::parse(top).expect("an object"));
        }
        for _ in 0..2 {
            beside.take_usage(&Object::parse(usage).expect("an object"));
        }
        let dropped = beside.dropped();
        beside.finish(dropped, &[])
    }

    #[test]
    fn what_fits_is_carried_on_exactly_and_comes_again_in_its_place() {
        let tops = [r#"{"b":9007199254740993,"a":{ "x":1e400}}"#, r#"{"b":2}"#, "{}"].map(str::to_owned);
        let (usage, extra) = taken(&tops, r#"{"x_u":1.0}"#);
        assert_eq!(usage.as_deref(), Some(r#"{"x_u":1.0}"#));
        assert_eq!(extra.as_deref(), Some(r#"{"b":2,"a":{ "x":1e400}}"#));
        assert_eq!(taken(&[], "{}"), (None, None));
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_the_answer_says_so() {
        let field = |name: &str, bytes: usize| format!("{{\"{name}\":\"{}\"}}", "q".repeat(bytes));
        let (usage, extra) = taken(&[field("kept", 9), field("huge", 3_000_000)], "{}");
        let note = r#""relay_dropped":{"fields":1,"bytes":3000006}"#;
        assert_eq!(extra, Some(format!("{{\"kept\":\"qqqqqqqqq\",{note}}}")));
        assert_eq!(usage, None);
        let many: Vec<String> = (0..40).map(|nth| field(&format!("x_{nth}"), 10_000)).collect();
        let (usage, extra) = taken(&many, &field("u", 3_000_000));
        let extra = extra.expect("some fit");
        assert!(extra.len() <= MOST_BESIDE && extra.contains("x_5") && !extra.contains("x_6"));
        assert!(extra.contains(r#""fields":36"#) && usage.is_none(), "{usage:?}");
    }

    #[test]
    fn many_small_fields_are_bounded_too_and_cost_no_more_than_they_say() {
        let all: Vec<String> = (0..500_000).map(|nth| format!("\"{nth}\":1")).collect();
        let (_, extra) = taken(&[format!("{{{}}}", all.join(","))], "{}");
        assert!(extra.expect("some fit").len() <= MOST_BESIDE);
    }
}
