//! What is asked about the log: by a command of the process that has it open, and over HTTP of another one. Pure.

use std::fmt;
use std::str::FromStr;

use relay_bus::topics::Manifest;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Most records of `newest`.
pub const MOST_NEWEST: usize = 10_000;
/// Most dead letters that can be named at once.
const MOST_NAMED: usize = 1_000;

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// The offsets that every partition holds.
    Offsets,
    /// Make the topics so.
    Apply(Manifest),
    /// Records of the topic.
    Read(String, Read),
    /// Dead letters.
    Letters(Letters),
    /// Put the records of dead letters back where they came from.
    Resend(Selection),
    /// Close dead letters without that.
    Discard(Selection),
}

impl Ask {
    /// Whether it changes something.
    pub fn changes(&self) -> bool {
        matches!(self, Self::Apply(_) | Self::Resend(_) | Self::Discard(_))
    }
}

/// Which records of a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Read {
    /// Only so many, the newest; without it all that the topic holds.
    pub newest: Option<usize>,
    /// Go on with what comes.
    pub follow: bool,
    /// With prompts and answers.
    pub content: bool,
}

/// Which dead letters, and how much of each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Letters {
    /// Named ones.
    pub named: Places,
    /// Of records of this topic.
    pub topic: Option<String>,
    /// Given up by this service.
    pub service: Option<String>,
    /// `poison` or `retries_exhausted`.
    pub class: Option<String>,
    /// Of this tenant.
    pub tenant: Option<String>,
    /// Of this request.
    pub request: Option<String>,
    /// Those that are closed too.
    pub all: bool,
    /// With headers, and what sending it again would do.
    pub whole: bool,
    /// With the record's value.
    pub content: bool,
}

/// Which dead letters to close.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selection {
    /// These.
    pub named: Places,
    /// Of records of this topic.
    pub topic: Option<String>,
    /// Given up by this service.
    pub service: Option<String>,
    /// `poison` or `retries_exhausted`.
    pub class: Option<String>,
    /// Of this tenant.
    pub tenant: Option<String>,
    /// Of this request.
    pub request: Option<String>,
    /// All that are open, where nothing above chooses.
    pub every: bool,
}

impl Selection {
    /// Refuses a selection that says nothing: a filter that was forgotten must not close everything.
    pub fn check(&self) -> Result<(), String> {
        let filters = [
            &self.topic,
            &self.service,
            &self.class,
            &self.tenant,
            &self.request,
        ];
        let filtered = filters.iter().any(|filter| filter.is_some());
        match (self.named.0.is_empty(), filtered, self.every) {
            (true, false, false) => Err(
                "which ones? Name dead letters as `relay dead-letters list` does (0/17), choose with --topic, --service, --class, --tenant or \
                 --request, or say --every"
                    .to_owned(),
            ),
            (false, true, _) | (false, _, true) | (_, true, true) => {
                Err("name dead letters, or choose with filters, or say --every: one of the three".to_owned())
            }
            _ => Ok(()),
        }
    }
}

impl From<Selection> for Letters {
    fn from(selection: Selection) -> Self {
        let Selection {
            named,
            topic,
            service,
            class,
            tenant,
            request,
            every: _,
        } = selection;
        Self {
            named,
            topic,
            service,
            class,
            tenant,
            request,
            ..Self::default()
        }
    }
}

/// Where a dead letter lies in its topic: `0/17` is partition 0, offset 17.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.partition, self.offset)
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` names no dead letter; write partition/offset as `relay dead-letters list` does, for example 0/17"
            )
        };
        let (partition, offset) = text.split_once('/').ok_or_else(wrong)?;
        let place = Self {
            partition: partition.parse().map_err(|_| wrong())?,
            offset: offset.parse().map_err(|_| wrong())?,
        };
        (place.partition >= 0 && place.offset >= 0)
            .then_some(place)
            .ok_or_else(wrong)
    }
}

/// Several places, as one text: `0/17,0/18`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places(pub Vec<Place>);

impl Serialize for Places {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let words: Vec<String> = self.0.iter().map(Place::to_string).collect();
        serializer.serialize_str(&words.join(","))
    }
}

impl<'de> Deserialize<'de> for Places {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let words = text.split(',').filter(|word| !word.is_empty());
        let places: Result<Vec<Place>, String> = words.map(str::parse).collect();
        let places = places.map_err(de::Error::custom)?;
        if places.len() > MOST_NAMED {
            let many = places.len();
            return Err(de::Error::custom(format!(
                "{many} dead letters are named; at most {MOST_NAMED} at once"
            )));
        }
        Ok(Self(places))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_is_named_by_partition_and_offset_and_nothing_else() {
        let place: Place = "0/17".parse().expect("a place");
        assert_eq!(
            (place.partition, place.offset, place.to_string()),
            (0, 17, "0/17".to_owned())
        );
        for wrong in ["17", "0/", "/17", "-1/0", "0/-1", "a/b", "0/1/2", ""] {
            let told = wrong.parse::<Place>().expect_err(wrong);
            assert!(told.contains("for example 0/17"), "{told}");
        }
    }

    #[test]
    fn a_filter_that_was_forgotten_closes_nothing() {
        let named = Places(vec!["0/1".parse().expect("a place")]);
        let of = |letters: &Places, tenant: Option<&str>, every| Selection {
            named: letters.clone(),
            tenant: tenant.map(str::to_owned),
            every,
            ..Selection::default()
        };
        let none = Places::default();
        assert!(
            of(&none, None, false)
                .check()
                .expect_err("none")
                .contains("--every")
        );
        for good in [
            of(&named, None, false),
            of(&none, Some("acme"), false),
            of(&none, None, true),
        ] {
            assert_eq!(good.check(), Ok(()));
        }
        for both in [
            of(&named, Some("acme"), false),
            of(&named, None, true),
            of(&none, Some("acme"), true),
        ] {
            assert!(both.check().is_err_and(|told| told.contains("one of the three")));
        }
        let typo: Result<Selection, _> = serde_json::from_str(r#"{"tenent": "acme", "every": true}"#);
        assert!(typo.is_err(), "a filter with a typo is no filter");
    }
}
