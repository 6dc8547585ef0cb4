//! What the sender of a line is told when the line became a dead letter. Pure.

use relay_bus::Record;
use relay_schemas::BatchRequest;

use super::name::{LineName, name_in, name_of};
use crate::refusal::Refusal;

/// Whose line it was and why it has no answer; `None` where nothing names the line.
pub fn verdict(record: &Record, line: Option<&BatchRequest>, reason: &str) -> Option<(LineName, Refusal)> {
    let at = &record.position;
    let place = format!("partition {}, offset {}", at.partition.partition, at.offset);
    let Some(line) = line else {
        let message = format!(
            "the line at {place} is no `BatchRequest` in Avro single-object encoding: {reason}. Write it with \
             schemas/avsc/batch_request.avsc and send it under a new `custom_id`"
        );
        return Some((
            name_in(record)?,
            Refusal::invalid("unreadable_line", None, message),
        ));
    };
    let refusal = Refusal {
        code: "dead_letter".to_owned(),
        message: format!(
            "the line at {place} could not be processed by a fault of this gateway; its dead letter tells the operator why"
        ),
        ..Refusal::internal()
    };
    Some((name_of(line), refusal))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop here")]

    use relay_bus::{Headers, Partition, Position, header, topics};
    use relay_schemas::{BatchRef, TimestampMs};

    use super::*;

    fn record(key: &'static [u8], headers: &[(&str, &'static [u8])]) -> Record {
        let mut all = Headers::default();
        for (name, value) in headers {
            all.set((*name).to_owned(), *value);
        }
        Record {
            position: Position {
                partition: Partition::new(topics::BATCH_REQUESTS, 2),
                offset: 7,
            },
            timestamp: TimestampMs(0),
            key: Some(key.into()),
            headers: all,
            value: Some("garbage".into()),
        }
    }

    fn named(batch_id: &str, custom_id: &str) -> LineName {
        LineName {
            tenant: "acme".into(),
            line: BatchRef {
                batch_id: batch_id.to_owned(),
                custom_id: custom_id.to_owned(),
            },
        }
    }

    /// Key, headers, and whose line it is.
    type Case<'a> = (&'static [u8], &'a [(&'a str, &'static [u8])], Option<LineName>);

    #[test]
    fn an_unreadable_line_is_named_by_its_headers_or_its_key() {
        let custom = (header::CUSTOM_ID, &b"7"[..]);
        let batch = (header::BATCH_ID, &b"b"[..]);
        let tenant = (header::TENANT, &b"acme"[..]);
        let cases: [Case<'_>; 10] = [
            (b"acme/b", &[tenant, custom], Some(named("b", "7"))),
            (b"key", &[tenant, custom], Some(named("key", "7"))),
            (b"key", &[tenant, custom, batch], Some(named("b", "7"))),
            (b"\xff", &[tenant, custom, batch], Some(named("b", "7"))),
            (b"\xff", &[tenant, custom], None),
            (b"key", &[tenant, batch], None),
            (b"key", &[tenant, batch, (header::CUSTOM_ID, b"")], None),
            (b"key", &[tenant, batch, (header::CUSTOM_ID, &[b'x'; 257])], None),
            // Whose `b` and `7` it is, nothing says.
            (b"acme/b", &[custom, batch], None),
            (b"key", &[(header::TENANT, b"no good"), custom, batch], None),
        ];
        for (key, headers, expected) in cases {
            let found = verdict(&record(key, headers), None, "why");
            assert_eq!(found.map(|(name, _)| name), expected, "{headers:?}");
        }
    }

    #[test]
    fn the_verdict_says_where_and_why() {
        let record = record(b"key", &[(header::TENANT, b"acme"), (header::CUSTOM_ID, b"7")]);
        let (_, refusal) = verdict(&record, None, "cut short").unwrap();
        assert_eq!((refusal.status, refusal.code.as_str()), (400, "unreadable_line"));
        assert!(refusal.message.contains("partition 2, offset 7"));
        assert!(refusal.message.contains("cut short"));
    }

    #[test]
    fn a_line_that_was_read_names_itself_and_the_mistake_is_ours() {
        let line = BatchRequest {
            batch_id: "b".to_owned(),
            custom_id: "c".to_owned(),
            tenant: "acme".into(),
            operation: relay_schemas::Operation::Chat,
            body: "a secret prompt".to_owned(),
            deadline: None,
        };
        let (name, refusal) = verdict(&record(b"", &[]), Some(&line), "the stage panicked").unwrap();
        assert_eq!(name, named("b", "c"));
        assert_eq!((refusal.status, refusal.code.as_str()), (500, "dead_letter"));
    }
}
