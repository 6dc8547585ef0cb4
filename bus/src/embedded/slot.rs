//! How a partition is numbered in the log.

pub(super) use relay_log::Slot;

/// The topic's number in the upper half, the partition in the lower.
pub(super) const fn slot(topic: u16, partition: u16) -> Slot {
    ((topic as u32) << 16) | partition as u32
}

/// The number of the topic that a slot belongs to.
pub(super) const fn topic_of(slot: Slot) -> u16 {
    (slot >> 16) as u16
}
