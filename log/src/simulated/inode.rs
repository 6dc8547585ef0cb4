//! One file: what a process sees of it, what a loss of power would leave of it, and the pages between the two.

use std::collections::BTreeSet;

use rand::Rng;
use rand::rngs::SmallRng;

use super::faults::Aftermath;

/// A file without a name.
#[derive(Debug, Default)]
pub(super) struct Inode {
    /// What reading gives.
    cache: Vec<u8>,
    /// What is on disk.
    disk: Vec<u8>,
    /// Pages of the cache that the next sync writes. A page that differs and is not among them is lost: a sync failed.
    dirty: BTreeSet<usize>,
    /// The shortest that the file was made since the last sync; a cut that is not on disk yet.
    cut: Option<usize>,
    /// Handles that are open.
    pub(super) handles: usize,
}

impl Inode {
    pub(super) fn len(&self) -> usize {
        self.cache.len()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.cache
    }

    pub(super) fn read(&self, into: &mut [u8], position: usize) -> usize {
        let from = position.min(self.cache.len());
        let count = into.len().min(self.cache.len() - from);
        into[..count].copy_from_slice(&self.cache[from..from + count]);
        count
    }

    pub(super) fn write(&mut self, bytes: &[u8], position: usize, page: usize, random: &mut SmallRng) {
        if bytes.is_empty() {
            return;
        }
        if position < self.cache.len() {
            self.write_some_back(page, random);
        }
        let end = position + bytes.len();
        if self.cache.len() < end {
            self.cache.resize(end, 0);
        }
        self.cache[position..end].copy_from_slice(bytes);
        self.dirty.extend(position / page..=(end - 1) / page);
    }

    pub(super) fn set_len(&mut self, length: usize, page: usize, random: &mut SmallRng) {
        if length < self.cache.len() {
            self.write_some_back(page, random);
            self.cut = Some(self.cut.map_or(length, |cut| cut.min(length)));
            self.dirty.retain(|number| number * page < length);
        }
        self.cache.resize(length, 0);
    }

    /// A sync that does what it says.
    pub(super) fn sync(&mut self, page: usize) {
        self.settle_length();
        for number in std::mem::take(&mut self.dirty) {
            self.write_back(number, page);
        }
    }

    /// A sync that fails: some pages reached the disk, and what is assumed of the others is what kernels differ in.
    pub(super) fn fail_sync(&mut self, page: usize, aftermath: Aftermath, random: &mut SmallRng) {
        if random.random_bool(0.5) {
            self.settle_length();
        }
        let share = share(random);
        for number in std::mem::take(&mut self.dirty) {
            let reached = (number * page + page).min(self.cache.len()) <= self.disk.len();
            if reached && random.random_bool(share) {
                self.write_back(number, page);
            } else {
                match aftermath {
                    Aftermath::Dropped => self.forget(number, page),
                    Aftermath::MarkedClean => {}
                    Aftermath::StillDirty => {
                        self.dirty.insert(number);
                    }
                }
            }
        }
    }

    /// Memory is short: pages that count as clean are read from the disk from now on.
    pub(super) fn evict(&mut self, page: usize) {
        for number in 0..self.cache.len().div_ceil(page) {
            if !self.dirty.contains(&number) {
                self.forget(number, page);
            }
        }
    }

    /// Leaves what a loss of power leaves: any subset of the dirty pages, any of the lengths since the last sync.
    pub(super) fn lose_power(&mut self, page: usize, random: &mut SmallRng) {
        if let Some(cut) = self.cut.take()
            && random.random_bool(0.5)
        {
            self.disk.truncate(cut);
        }
        let (shorter, longer) = (
            self.disk.len().min(self.cache.len()),
            self.disk.len().max(self.cache.len()),
        );
        let length = match random.random_range(0..4) {
            0 => self.disk.len(),
            1 | 2 => self.cache.len(),
            _ => random.random_range(shorter..=longer),
        };
        self.disk.resize(length, 0);
        let share = share(random);
        for number in std::mem::take(&mut self.dirty) {
            if random.random_bool(share) {
                self.write_back(number, page);
            }
        }
        self.cache.clone_from(&self.disk);
    }

    /// Turns one bit, wherever the byte is held; false behind the end of what is on disk.
    pub(super) fn flip(&mut self, position: usize, bit: u8) -> bool {
        if position >= self.disk.len().min(self.cache.len()) {
            return false;
        }
        self.disk[position] ^= 1 << bit;
        self.cache[position] ^= 1 << bit;
        true
    }

    /// Replaces bytes wherever they are held, as a fault that no sync is needed for.
    pub(super) fn forge(&mut self, bytes: &[u8], position: usize) {
        for held in [&mut self.disk, &mut self.cache] {
            if let Some(place) = held.get_mut(position..position + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        }
    }

    /// The kernel may have written any page in the meantime: matters before bytes are written over or cut.
    fn write_some_back(&mut self, page: usize, random: &mut SmallRng) {
        if random.random_bool(0.5) {
            return;
        }
        self.settle_length();
        let share = share(random);
        let dirty: Vec<usize> = self.dirty.iter().copied().collect();
        for number in dirty {
            if random.random_bool(share) {
                self.write_back(number, page);
            }
        }
    }

    fn settle_length(&mut self) {
        if let Some(cut) = self.cut.take() {
            self.disk.truncate(cut);
        }
        self.disk.resize(self.cache.len(), 0);
    }

    /// Writes a page to the disk, as far as the length that the disk knows reaches.
    fn write_back(&mut self, number: usize, page: usize) {
        let from = number * page;
        let to = (from + page).min(self.cache.len()).min(self.disk.len());
        if from < to {
            self.disk[from..to].copy_from_slice(&self.cache[from..to]);
        }
    }

    /// Shows of a page what the disk holds; zeros where it was cut or never written.
    fn forget(&mut self, number: usize, page: usize) {
        let from = number * page;
        let to = (from + page).min(self.cache.len());
        let held = self
            .disk
            .len()
            .min(self.cut.unwrap_or(usize::MAX))
            .clamp(from, to);
        if from < held {
            self.cache[from..held].copy_from_slice(&self.disk[from..held]);
        }
        self.cache[held..to].fill(0);
    }
}

/// How likely each page or name is to survive this time. The extremes are where things break.
pub(super) fn share(random: &mut SmallRng) -> f64 {
    [0.0, 0.1, 0.5, 0.5, 0.9, 1.0][random.random_range(0..6)]
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn after_power_cuts(prepare: impl Fn(&mut Inode)) -> BTreeSet<Vec<u8>> {
        (0..400)
            .map(|seed| {
                let mut inode = Inode::default();
                prepare(&mut inode);
                inode.lose_power(2, &mut SmallRng::seed_from_u64(seed));
                inode.bytes().to_vec()
            })
            .collect()
    }

    #[test]
    fn what_was_synced_survives_a_loss_of_power_and_of_the_rest_any_subset() {
        let left = after_power_cuts(|inode| {
            inode.write(b"abcd", 0, 2, &mut SmallRng::seed_from_u64(0));
            inode.sync(2);
            inode.write(b"EFGH", 4, 2, &mut SmallRng::seed_from_u64(0));
        });
        assert!(left.iter().all(|bytes| bytes.starts_with(b"abcd")), "{left:?}");
        for possible in [&b"abcd"[..], b"abcdEFGH", b"abcd\0\0GH", b"abcdEF\0\0", b"abcdE"] {
            assert!(left.contains(possible), "never {possible:?}");
        }
    }

    #[test]
    fn a_cut_that_is_not_synced_may_come_undone_behind_newer_bytes() {
        let left = after_power_cuts(|inode| {
            inode.write(b"abcdef", 0, 2, &mut SmallRng::seed_from_u64(0));
            inode.sync(2);
            inode.set_len(2, 2, &mut SmallRng::seed_from_u64(0));
            inode.write(b"XY", 2, 2, &mut SmallRng::seed_from_u64(0));
        });
        for possible in [&b"abcdef"[..], b"ab", b"abXY", b"abXYef", b"ab\0\0"] {
            assert!(left.contains(possible), "never {possible:?} in {left:?}");
        }
    }

    #[test]
    fn a_failed_sync_drops_pages_or_calls_them_clean() {
        let fail = |aftermath| {
            let mut inode = Inode::default();
            inode.write(b"ab", 0, 2, &mut SmallRng::seed_from_u64(0));
            let mut random = (0..10_000)
                .map(SmallRng::seed_from_u64)
                .find(|random| {
                    let mut random = random.clone();
                    random.random_bool(0.5);
                    share(&mut random) == 0.0
                })
                .expect("some seed lets no page through");
            inode.fail_sync(2, aftermath, &mut random);
            inode
        };
        assert_eq!(fail(Aftermath::Dropped).bytes(), b"\0\0");
        let mut called_clean = fail(Aftermath::MarkedClean);
        assert_eq!(called_clean.bytes(), b"ab");
        called_clean.sync(2);
        assert_ne!(
            called_clean.disk, b"ab",
            "the next sync says yes and writes nothing"
        );
        called_clean.evict(2);
        assert_eq!(called_clean.bytes(), b"\0\0");
        let mut still_dirty = fail(Aftermath::StillDirty);
        still_dirty.sync(2);
        assert_eq!(still_dirty.disk, b"ab");
    }
}
