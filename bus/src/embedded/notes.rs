//! The log's notes: what it must know besides its records, changed in the same atomic batches.

use bytes::Bytes;

use super::slot::Slot;

/// First byte of the name of each kind of note.
mod kind {
    pub(super) const TOPIC: u8 = b't';
    pub(super) const COMMIT: u8 = b'c';
    pub(super) const LOW: u8 = b'l';
    pub(super) const SEEN: u8 = b's';
    pub(super) const TRIED: u8 = b'p';
}

/// A note as it is read back.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// A topic, as its log encodes it.
    Topic(Bytes),
    /// What a group has committed in a partition.
    Commit { group: String, slot: Slot, next: i64 },
    /// The lowest offset that a partition still holds.
    Low { slot: Slot, low: i64 },
    /// When a group was last a reader of a topic, milliseconds since 1970.
    Seen { group: String, topic: u16, at_ms: i64 },
    /// Written to see whether the disk takes it.
    Tried,
}

pub(super) fn topic(name: &str) -> Bytes {
    [&[kind::TOPIC], name.as_bytes()].concat().into()
}

pub(super) fn commit(group: &str, slot: Slot) -> Bytes {
    [&[kind::COMMIT], &slot.to_le_bytes()[..], group.as_bytes()]
        .concat()
        .into()
}

pub(super) fn low(slot: Slot) -> Bytes {
    [&[kind::LOW], &slot.to_le_bytes()[..]].concat().into()
}

pub(super) fn seen(group: &str, topic: u16) -> Bytes {
    [&[kind::SEEN], &topic.to_le_bytes()[..], group.as_bytes()]
        .concat()
        .into()
}

pub(super) fn tried() -> Bytes {
    Bytes::from_static(&[kind::TRIED])
}

/// An offset or an instant, as the value of a note.
pub(super) fn number(number: i64) -> Bytes {
    Bytes::copy_from_slice(&number.to_le_bytes())
}

/// Reads a note back; nothing where it is none that this version knows.
pub(super) fn parse(name: &[u8], value: &Bytes) -> Option<Note> {
    let (kind, rest) = name.split_first()?;
    let number = || Some(i64::from_le_bytes(value[..].try_into().ok()?));
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    Some(match *kind {
        kind::TOPIC => Note::Topic(value.clone()),
        kind::COMMIT => {
            let (slot, group) = rest.split_first_chunk()?;
            Note::Commit {
                group: text(group)?,
                slot: Slot::from_le_bytes(*slot),
                next: number()?,
            }
        }
        kind::LOW => Note::Low {
            slot: Slot::from_le_bytes(rest.try_into().ok()?),
            low: number()?,
        },
        kind::SEEN => {
            let (topic, group) = rest.split_first_chunk()?;
            Note::Seen {
                group: text(group)?,
                topic: u16::from_le_bytes(*topic),
                at_ms: number()?,
            }
        }
        kind::TRIED => Note::Tried,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_back_as_it_was_written_and_what_is_cut_is_none() {
        let group = "planner".to_owned();
        let cases = [
            (
                commit(&group, 0x0003_0001),
                Note::Commit {
                    group: group.clone(),
                    slot: 0x0003_0001,
                    next: 7,
                },
            ),
            (low(9), Note::Low { slot: 9, low: 7 }),
            (
                seen(&group, 3),
                Note::Seen {
                    group: group.clone(),
                    topic: 3,
                    at_ms: 7,
                },
            ),
        ];
        for (name, note) in cases {
            assert_eq!(parse(&name, &number(7)), Some(note));
            assert_eq!(parse(&name, &number(7).slice(1..)), None);
        }
        assert_eq!(parse(b"", &number(7)), None);
        assert_eq!(parse(b"?unknown", &number(7)), None);
    }
}
