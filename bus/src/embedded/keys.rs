//! How keys are laid out in the three keyspaces.
//!
//! Two keyspaces hold log records, one for topics kept a day or less and one for the others (so that the hops' many bytes
//! do not wait for the outcomes' week); a third, `kept`, holds what is small and overwritten: topics, commits, epoch
//! summaries, lowest offsets, and the compacted topics. One keyspace a topic or partition would cost a memtable and a
//! flush each, and an idle one would hold the journal for ever (fjall issue 288): here every keyspace is rotated by the writer.
//!
//! A log key is epoch | slot | offset. The writer closes an epoch and its memtable together, so the tables of different
//! epochs never overlap: compaction only ever moves them, nothing is rewritten, and retention drops whole tables.

/// One partition of one topic: the topic's number in the upper half, the partition in the lower.
pub(super) type Slot = u32;

pub(super) const fn slot(topic: u16, partition: u16) -> Slot {
    ((topic as u32) << 16) | partition as u32
}

pub(super) fn log(epoch: u32, slot: Slot, offset: i64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..4].copy_from_slice(&epoch.to_be_bytes());
    key[4..8].copy_from_slice(&slot.to_be_bytes());
    key[8..].copy_from_slice(&offset.to_be_bytes());
    key
}

pub(super) fn parse_log(key: &[u8]) -> Option<(u32, Slot, i64)> {
    let key: &[u8; 16] = key.try_into().ok()?;
    let (epoch, rest) = key.split_first_chunk()?;
    let (slot, offset) = rest.split_first_chunk()?;
    Some((
        u32::from_be_bytes(*epoch),
        Slot::from_be_bytes(*slot),
        i64::from_be_bytes(offset.try_into().ok()?),
    ))
}

/// First byte of each kind of key in `kept`.
pub(super) mod kind {
    pub(in crate::embedded) const TOPIC: u8 = b't';
    pub(in crate::embedded) const COMMIT: u8 = b'c';
    pub(in crate::embedded) const EPOCH: u8 = b'e';
    pub(in crate::embedded) const LOW: u8 = b'n';
    pub(in crate::embedded) const COMPACTED: u8 = b'r';
}

pub(super) fn topic(name: &str) -> Vec<u8> {
    [&[kind::TOPIC], name.as_bytes()].concat()
}

pub(super) fn commit(group: &str, slot: Slot) -> Vec<u8> {
    [&[kind::COMMIT], &slot.to_be_bytes()[..], group.as_bytes()].concat()
}

pub(super) fn parse_commit(key: &[u8]) -> Option<(String, Slot)> {
    let (slot, group) = key.get(1..)?.split_first_chunk()?;
    Some((
        String::from_utf8(group.to_vec()).ok()?,
        Slot::from_be_bytes(*slot),
    ))
}

pub(super) fn epoch(space: u8, epoch: u32) -> Vec<u8> {
    [&[kind::EPOCH, space], &epoch.to_be_bytes()[..]].concat()
}

pub(super) fn parse_epoch(key: &[u8]) -> Option<(u8, u32)> {
    let (space, epoch) = key.get(1..)?.split_first()?;
    Some((*space, u32::from_be_bytes(epoch.try_into().ok()?)))
}

pub(super) fn low(slot: Slot) -> Vec<u8> {
    [&[kind::LOW], &slot.to_be_bytes()[..]].concat()
}

pub(super) fn parse_low(key: &[u8]) -> Option<Slot> {
    Some(Slot::from_be_bytes(key.get(1..)?.try_into().ok()?))
}

pub(super) fn compacted(slot: Slot, offset: i64) -> Vec<u8> {
    [
        &[kind::COMPACTED],
        &slot.to_be_bytes()[..],
        &offset.to_be_bytes()[..],
    ]
    .concat()
}

pub(super) fn parse_compacted(key: &[u8]) -> Option<(Slot, i64)> {
    let (slot, offset) = key.get(1..)?.split_first_chunk()?;
    Some((
        Slot::from_be_bytes(*slot),
        i64::from_be_bytes(offset.try_into().ok()?),
    ))
}
