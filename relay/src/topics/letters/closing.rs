//! Closes dead letters: by putting their records back, or without.

use std::collections::HashMap;

use relay_bus::topics::DEAD_LETTERS;
use relay_bus::{Bus, Headers, Outgoing, Partition, Position, Record, header};
use relay_clock::Clock;
use relay_schemas::{DeadLetterClosing, Registry, encode};
use serde_json::json;

use super::letter::{Closed, Letter};
use super::scan::Scan;
use super::wanted::Wanted;
use crate::topics::ask::Selection;
use crate::topics::lines::Lines;
use crate::topics::when::when;

/// Most records of which it is remembered that they were put back by the same command: several groups may have given one up.
const MOST_RESENT: usize = 100_000;

/// Who closes letters.
#[derive(Debug, Clone)]
pub struct Who {
    /// Their name.
    pub name: String,
    /// How they came.
    pub via: &'static str,
}

/// Closes the letters that are chosen, and says of each what became of it.
pub async fn close(
    (bus, clock): (&dyn Bus, &Clock),
    registry: &Registry,
    selection: Selection,
    (resend, who): (bool, &Who),
    lines: &Lines,
) -> anyhow::Result<()> {
    selection.check().map_err(anyhow::Error::msg)?;
    let mut closing = Closing {
        bus,
        clock,
        who,
        resent: HashMap::new(),
    };
    let mut wanted = if resend {
        Some(Wanted::of(bus, registry, selection.clone().into(), clock.now()).await?)
    } else {
        None
    };
    let mut letters = Scan::open(bus, registry, selection.into()).await?;
    while let Some(letter) = letters.next().await? {
        let done = match (&letter.closed, &mut wanted) {
            (Some(closed), _) => is_closed(closed),
            (None, Some(wanted)) => closing.resend(&letter, &mut letters, wanted).await?,
            (None, None) => closing.discard(&letter).await?,
        };
        lines.say(done.line(&letter)).await?;
    }
    Ok(())
}

fn is_closed(closed: &Closed) -> Done {
    let at = when(closed.at);
    Done::Kept(format!("it is closed: {} by {} at {at}", closed.how, closed.by))
}

/// What became of a letter.
enum Done {
    Resent(Position),
    Discarded,
    Kept(String),
}

impl Done {
    fn line(&self, letter: &Letter) -> serde_json::Value {
        let letter = letter.place.to_string();
        match self {
            Self::Resent(to) => json!({
                "letter": letter, "did": "resent",
                "to": {"topic": to.partition.topic.as_str(), "partition": to.partition.partition, "offset": to.offset},
            }),
            Self::Discarded => json!({"letter": letter, "did": "discarded"}),
            Self::Kept(why) => json!({"letter": letter, "did": "kept", "why": why}),
        }
    }
}

struct Closing<'a> {
    bus: &'a dyn Bus,
    clock: &'a Clock,
    who: &'a Who,
    /// Where records lie now that this command put back, by where they lay.
    resent: HashMap<Position, Position>,
}

impl Closing<'_> {
    async fn discard(&self, letter: &Letter) -> anyhow::Result<Done> {
        self.note(letter, None).await?;
        self.audit(letter, None, "an operator discarded a dead letter");
        Ok(Done::Discarded)
    }

    /// The record first, its closing once it is acknowledged: what a crash leaves between the two is an open letter, whose record is
    /// put back twice at the worst, and a line that tells of each.
    async fn resend(
        &mut self,
        letter: &Letter,
        letters: &mut Scan<'_>,
        wanted: &mut Wanted<'_>,
    ) -> anyhow::Result<Done> {
        let Ok(body) = &letter.body else {
            return Ok(Done::Kept(
                "the letter cannot be read itself, so what it stands for is not known".to_owned(),
            ));
        };
        let lay = Position {
            partition: Partition::new(&body.source_topic, body.source_partition),
            offset: body.source_offset,
        };
        let to = if let Some(to) = self.resent.get(&lay) {
            to.clone()
        } else {
            match wanted.record(body, self.clock.now()).await? {
                Err(why) => return Ok(Done::Kept(why)),
                Ok(record) => {
                    // On Kafka another process may have closed it meanwhile.
                    if let Some(closed) = letters.closed_meanwhile(letter.place).await? {
                        return Ok(is_closed(&closed));
                    }
                    self.put_back(letter, lay, record).await?
                }
            }
        };
        // Before the closing, which the log may refuse: what it tells of has happened.
        self.audit(
            letter,
            Some(&to),
            "an operator put the record of a dead letter back",
        );
        self.note(letter, Some(&to)).await?;
        Ok(Done::Resent(to))
    }

    /// Key and value as they were, in the partition in which they lay.
    async fn put_back(&mut self, letter: &Letter, lay: Position, record: Record) -> anyhow::Result<Position> {
        let first = record.first_offset();
        let mut headers = record.headers;
        headers.set(header::RESENT, format!("{DEAD_LETTERS}/{}", letter.place));
        let Partition { topic, partition } = &lay.partition;
        headers.set(header::RESENT_FROM, format!("{topic}/{partition}/{first}"));
        let outgoing = Outgoing {
            topic: lay.partition.topic.clone(),
            partition: Some(lay.partition.partition),
            key: record.key,
            headers,
            value: record.value,
        };
        let to = self.publish(outgoing).await?;
        if self.resent.len() < MOST_RESENT {
            self.resent.insert(lay, to.clone());
        }
        Ok(to)
    }

    async fn note(&self, letter: &Letter, to: Option<&Position>) -> anyhow::Result<()> {
        let closing = DeadLetterClosing {
            offset: letter.place.offset,
            how: how(to).to_owned(),
            resent_partition: to.map(|to| to.partition.partition),
            resent_offset: to.map(|to| to.offset),
            by: self.who.name.clone(),
            at: self.clock.now(),
        };
        let partition = Partition::new(DEAD_LETTERS, letter.place.partition);
        let mut outgoing = Outgoing::to_partition(&partition, Headers::default(), encode(&closing));
        outgoing.key.clone_from(&letter.record.key);
        self.publish(outgoing).await?;
        Ok(())
    }

    async fn publish(&self, outgoing: Outgoing) -> anyhow::Result<Position> {
        let mut positions = self.bus.publish(vec![outgoing], Vec::new()).await?;
        let unknown = || anyhow::anyhow!("the log does not say where it put a record");
        positions.pop().ok_or_else(unknown)
    }

    fn audit(&self, letter: &Letter, to: Option<&Position>, did: &str) {
        let body = letter.body.as_ref().ok();
        let headers = &letter.record.headers;
        tracing::info!(
            target: "audit",
            action = format!("dead letter {}", how(to)),
            by = self.who.name,
            via = self.who.via,
            letter = %letter.place,
            messaging.topic = body.map(|body| body.source_topic.as_str()).unwrap_or_default(),
            messaging.partition = body.map(|body| body.source_partition),
            messaging.offset = body.map(|body| body.source_offset),
            resent_to_offset = to.map(|to| to.offset),
            request.id = headers.text(header::REQUEST_ID).unwrap_or_default(),
            tenant = headers.text(header::TENANT).unwrap_or_default(),
            "{did}"
        );
    }
}

fn how(to: Option<&Position>) -> &'static str {
    if to.is_some() { "resent" } else { "discarded" }
}
