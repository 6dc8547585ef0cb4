//! One dead letter, as it is listed. Pure.

use relay_bus::Record;
use relay_schemas::{DeadLetter, DeadLetterClosing, Registry, RequestId, TenantId, TimestampMs};
use serde_json::{Value, json};

use crate::topics::ask::{Letters, Place};
use crate::topics::{bytes, shown};

/// A record of the dead letters that is no closing.
pub struct Letter {
    /// Where it lies.
    pub place: Place,
    /// What it says, or why it cannot be read.
    pub body: Result<DeadLetter, String>,
    /// The record that it is.
    pub record: Record,
    /// How it was dealt with, if it was.
    pub closed: Option<Closed>,
}

/// How a letter was dealt with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// `resent` or `discarded`.
    pub how: String,
    /// By whom.
    pub by: String,
    /// When.
    pub at: TimestampMs,
}

impl From<DeadLetterClosing> for Closed {
    fn from(closing: DeadLetterClosing) -> Self {
        let DeadLetterClosing { how, by, at, .. } = closing;
        Self { how, by, at }
    }
}

impl Letter {
    /// Reads what lies at `place`.
    pub fn read(place: Place, record: Record, registry: &Registry, closed: Option<Closed>) -> Self {
        let body = relay_bus::decode::<DeadLetter>(registry, &record);
        Self {
            place,
            body: body.map_err(|error| error.to_string()),
            record,
            closed,
        }
    }

    /// Whether it is one that is asked for.
    pub fn is_asked_for(&self, asked: &Letters) -> bool {
        let headers = &self.record.headers;
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| Some(wanted) == found)
        };
        let letter = self.body.as_ref().ok();
        let service = letter.map(|letter| service(&letter.group));
        let of_service = |wanted: &str| {
            let rest = service.and_then(|service| service.strip_prefix(wanted));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        (asked.all || self.closed.is_none())
            && is(&asked.topic, letter.map(|letter| letter.source_topic.as_str()))
            && asked.service.as_deref().is_none_or(of_service)
            && is(&asked.class, letter.map(|letter| letter.class.as_str()))
            && is(&asked.tenant, headers.tenant().as_ref().map(TenantId::as_str))
            && is(
                &asked.request,
                headers.request_id().as_ref().map(RequestId::as_str),
            )
    }

    /// As a line of a list.
    pub fn line(&self) -> Value {
        let headers = &self.record.headers;
        let closed = self.closed.as_ref();
        let closed = closed.map(|Closed { how, by, at }| json!({"how": how, "by": by, "at": at}));
        let mut line = json!({
            "letter": self.place.to_string(),
            "at": self.record.timestamp,
            "request_id": headers.request_id(),
            "tenant": headers.tenant(),
            "closed": closed,
        });
        match &self.body {
            Ok(letter) => {
                line["at"] = json!(letter.at);
                line["topic"] = json!(letter.source_topic);
                line["partition"] = json!(letter.source_partition);
                line["offset"] = json!(letter.source_offset);
                line["service"] = json!(service(&letter.group));
                line["class"] = json!(letter.class);
                line["attempts"] = json!(letter.attempts);
                line["key"] = json!(letter.key.as_deref().map(bytes::shown));
                line["why"] = json!(letter.reason);
            }
            Err(error) => line["why"] = json!(format!("this letter cannot be read itself: {error}")),
        }
        line
    }

    /// With its headers and what is kept of its value.
    pub fn whole(&self, registry: &Registry, content: bool) -> Value {
        let mut line = self.line();
        let Ok(letter) = &self.body else {
            return line;
        };
        let value = letter.value.as_deref();
        let mut kept =
            json!({ "headers": shown::headers(&letter.headers), "value": value.map(bytes::shown) });
        if content && let Ok(body) = shown::body(&letter.source_topic, value, registry) {
            kept["value"] = body;
        }
        if !content {
            shown::without_content(&mut kept);
        }
        line["kept_bytes"] = json!(value.map(<[u8]>::len));
        line["headers"] = kept["headers"].take();
        line["value"] = kept["value"].take();
        line
    }
}

/// Which service a group belongs to: `relay.trace-sink` is the trace sink's.
fn service(group: &str) -> &str {
    group.strip_prefix("relay.").unwrap_or(group)
}

#[cfg(test)]
mod tests {
    use relay_bus::topics::{DEAD_LETTERS, OUTCOMES};
    use relay_bus::{Headers, Partition, Position, header};
    use relay_schemas::encode;

    use super::*;

    fn letter(group: &str) -> Letter {
        let letter = DeadLetter {
            source_topic: OUTCOMES.to_owned(),
            source_partition: 3,
            source_offset: 9,
            group: group.to_owned(),
            class: "poison".to_owned(),
            reason: "why not".to_owned(),
            attempts: 2,
            headers: Vec::new(),
            key: Some(b"r\xff".to_vec()),
            value: Some(b"a secret".to_vec()),
            at: TimestampMs(5),
        };
        let mut headers = Headers::default();
        headers.set(header::TENANT, "acme");
        headers.set(header::REQUEST_ID, "r-1");
        let record = Record {
            position: Position {
                partition: Partition::new(DEAD_LETTERS, 0),
                offset: 17,
            },
            timestamp: TimestampMs(6),
            key: None,
            headers,
            value: Some(encode(&letter).into()),
        };
        let place = "0/17".parse().expect("a place");
        Letter::read(place, record, &Registry::default(), None)
    }

    #[test]
    fn a_line_says_where_when_who_why_and_whose_and_nothing_that_was_said() {
        let line = letter("relay.cache-service.fill").line();
        let expected = json!({
            "letter": "0/17", "at": 5, "request_id": "r-1", "tenant": "acme", "closed": null,
            "topic": OUTCOMES, "partition": 3, "offset": 9, "service": "cache-service.fill", "class": "poison",
            "attempts": 2, "key": {"not_utf8": "r\\xff"}, "why": "why not",
        });
        assert_eq!(line, expected);
        let registry = Registry::default();
        let whole = |content| letter("g").whole(&registry, content).to_string();
        assert!(!whole(false).contains("a secret") && whole(true).contains("a secret"));
    }

    #[test]
    fn a_letter_that_cannot_be_read_itself_is_listed_too() {
        let mut record = letter("g").record;
        record.value = Some("nonsense".into());
        let place = "0/17".parse().expect("a place");
        let broken = Letter::read(place, record, &Registry::default(), None);
        assert!(broken.is_asked_for(&Letters::default()));
        let why = broken.line()["why"].to_string();
        assert!(why.contains("cannot be read itself"), "{why}");
    }

    #[test]
    fn every_filter_chooses_and_closed_ones_are_asked_for() {
        let asked = |change: fn(&mut Letters)| {
            let mut asked = Letters::default();
            change(&mut asked);
            let mut letter = letter("relay.cache-service.fill");
            let open = letter.is_asked_for(&asked);
            letter.closed = Some(Closed {
                how: "resent".to_owned(),
                by: "me".to_owned(),
                at: TimestampMs(7),
            });
            (open, letter.is_asked_for(&asked))
        };
        assert_eq!(asked(|_| ()), (true, false));
        assert_eq!(asked(|asked| asked.all = true), (true, true));
        for (change, chosen) in [
            (
                (|asked| asked.topic = Some(OUTCOMES.to_owned())) as fn(&mut Letters),
                true,
            ),
            (|asked| asked.topic = Some("other".to_owned()), false),
            (|asked| asked.service = Some("cache-service".to_owned()), true),
            (
                |asked| asked.service = Some("cache-service.fill".to_owned()),
                true,
            ),
            (|asked| asked.service = Some("cache".to_owned()), false),
            (|asked| asked.class = Some("poison".to_owned()), true),
            (|asked| asked.class = Some("retries_exhausted".to_owned()), false),
            (|asked| asked.tenant = Some("acme".to_owned()), true),
            (|asked| asked.tenant = Some("other".to_owned()), false),
            (|asked| asked.request = Some("r-1".to_owned()), true),
            (|asked| asked.request = Some("r".to_owned()), false),
        ] {
            assert_eq!(asked(change).0, chosen);
        }
    }
}
