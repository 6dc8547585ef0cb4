//! Looking at every byte of a log that a gateway may have open meanwhile. Changes nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;

use relay_log::format::{segment_name, segment_number};
use relay_log::{Damage, DiskStorage, OpenError, Slot, Storage, Verified};

use super::notes::{self, Note};
use super::slot::topic_of;
use super::{not_opened, topic};
use crate::{BusError, Partition};

/// How often a log is looked at again because segments were cleaned under the look.
const ATTEMPTS: usize = 10;

/// What looking at every byte found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Segments there are.
    pub segments: usize,
    /// Records in them, damaged ones included.
    pub records: u64,
    /// Bytes that were looked at.
    pub bytes: u64,
    /// What is not as it was written, in the order of the log.
    pub findings: Vec<Finding>,
    /// What opening would cut off.
    pub torn: Option<Torn>,
}

/// A place that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub segment: String,
    /// The first byte.
    pub byte: u64,
    /// Whose record it is, where that is known.
    pub partition: Option<Partition>,
    /// Its offset, where that is known.
    pub offset: Option<i64>,
    /// What is wrong.
    pub what: String,
}

/// The end of a log that nothing says was ever on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// The file.
    pub segment: String,
    /// The first byte.
    pub byte: u64,
    /// How many.
    pub bytes: u64,
}

/// Looks at every byte of the log in `folder`.
///
/// # Errors
/// What the disk said; that there is no log; that its format is another; or that segments were cleaned faster than they could be
/// looked at.
pub fn check(folder: &Path) -> Result<Checked, BusError> {
    let shown = folder.display().to_string();
    if !folder.is_dir() {
        return Err(BusError::Fatal(format!(
            "there is no log in {shown}: no such folder"
        )));
    }
    let storage = DiskStorage::read_only(folder);
    let failed = |error: &OpenError| not_opened(&shown, error);
    let listed = || closed(&storage).map_err(|error| BusError::Fatal(format!("{shown}: {error}")));
    for _ in 0..ATTEMPTS {
        let before = listed()?;
        let verified = relay_log::verify(&storage);
        // A segment that was cleaned or removed meanwhile is no damage.
        let still = listed()?;
        if before
            .iter()
            .all(|(number, length)| still.get(number) == Some(length))
        {
            let verified = verified.map_err(|error| failed(&error))?;
            return found(verified)
                .ok_or_else(|| BusError::Fatal(format!("there is no log in {shown}: no segments")));
        }
    }
    Err(BusError::Unavailable(format!(
        "segments of the log in {shown} were cleaned faster than they could be looked at; try again"
    )))
}

/// Numbers and lengths of all segments but the newest, which may be written to.
fn closed(storage: &DiskStorage) -> io::Result<BTreeMap<u64, u64>> {
    let files = storage.list()?.into_iter();
    let mut segments: BTreeMap<u64, u64> = files
        .filter_map(|(name, length)| Some((segment_number(&name)?, length)))
        .collect();
    segments.pop_last();
    Ok(segments)
}

/// Nothing where there are no segments.
fn found(verified: Verified) -> Option<Checked> {
    let topics = topics(&verified);
    let partition = |slot: Slot| {
        let number = (slot & 0xFFFF) as i32;
        topics
            .get(&topic_of(slot))
            .map(|topic| Partition::new(topic.clone(), number))
    };
    let finding = |damage: &Damage| Finding {
        segment: segment_name(damage.segment),
        byte: damage.position,
        partition: damage.slot.and_then(partition),
        offset: damage.offset,
        what: damage.what.clone(),
    };
    (verified.segments > 0).then(|| Checked {
        segments: verified.segments,
        records: verified.records,
        bytes: verified.bytes,
        findings: verified.damaged.iter().map(finding).collect(),
        torn: verified.cut.map(|cut| Torn {
            segment: segment_name(cut.segment),
            byte: cut.at,
            bytes: cut.bytes,
        }),
    })
}

/// The names of the topics by their numbers.
fn topics(verified: &Verified) -> BTreeMap<u16, String> {
    let notes = verified.notes.iter();
    notes
        .filter_map(|(name, value)| match notes::parse(name, value) {
            Some(Note::Topic(topic)) => topic::decode(&topic),
            _ => None,
        })
        .map(|(id, settings)| (id, settings.name))
        .collect()
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, byte {}: ", self.segment, self.byte)?;
        if let Some(partition) = &self.partition {
            write!(f, "{}, partition {}, ", partition.topic, partition.partition)?;
        }
        if let Some(offset) = self.offset {
            write!(f, "offset {offset}: ")?;
        }
        f.write_str(&self.what)
    }
}
