//! The record that a dead letter stands for, byte for byte.

use relay_bus::{Bus, BusError, Partition, Record};
use relay_runner::{Stretch, kept_whole};
use relay_schemas::DeadLetter;

/// From where it lay; from the letter, where the log has let it go and the letter is provably all of it. Else why there is none.
pub async fn original(bus: &dyn Bus, letter: &DeadLetter) -> Result<Result<Record, String>, BusError> {
    let DeadLetter {
        source_topic: topic,
        source_partition,
        source_offset: offset,
        ..
    } = letter;
    let partition = Partition::new(topic, *source_partition);
    match bus.partitions(topic).await {
        Ok(count) if *source_partition < count => {}
        Ok(_) | Err(BusError::UnknownTopic(_)) => {
            return Ok(Err(format!("there is no {topic}-{source_partition} any more")));
        }
        Err(error) => return Err(error),
    }
    let range = bus.range(&partition).await?;
    if (range.low..range.high).contains(offset) {
        let mut found = Stretch::between(bus, partition, *offset, offset + 1).await?;
        if let Some(record) = found.next().await? {
            if is_of(letter, &record) {
                return Ok(Ok(record));
            }
            return Ok(Err(format!(
                "another record lies at {topic}-{source_partition}@{offset} now: the topic was made anew"
            )));
        }
    }
    Ok(kept_whole(letter).ok_or_else(|| {
        "the log has let the record go, and the letter holds only a part of it, or has no checksum by which to know".to_owned()
    }))
}

/// Whether the letter's copy begins what `record` is.
fn is_of(letter: &DeadLetter, record: &Record) -> bool {
    let begins = |copy: &Option<Vec<u8>>, all: Option<&[u8]>| match (copy, all) {
        (Some(copy), Some(all)) => all.starts_with(copy),
        (None, None) => true,
        _ => false,
    };
    begins(&letter.key, record.key.as_deref()) && begins(&letter.value, record.value.as_deref())
}
