//! The folder: which names a process sees, which a loss of power would leave, and the changes between the two.

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng;
use rand::rngs::SmallRng;

use super::inode::share;

/// Names and the numbers of the files behind them.
#[derive(Debug, Default)]
pub(super) struct Names {
    seen: BTreeMap<String, usize>,
    on_disk: BTreeMap<String, usize>,
    pending: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Make(String, usize),
    Rename { from: String, to: String, inode: usize },
    Remove(String),
}

impl Names {
    pub(super) fn get(&self, name: &str) -> Option<usize> {
        self.seen.get(name).copied()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&str, usize)> {
        self.seen.iter().map(|(name, inode)| (name.as_str(), *inode))
    }

    /// Files that have a name, or may have one after a loss of power.
    pub(super) fn anywhere(&self) -> BTreeSet<usize> {
        let pending = self.pending.iter().filter_map(|change| match change {
            Change::Make(_, inode) | Change::Rename { inode, .. } => Some(*inode),
            Change::Remove(_) => None,
        });
        let named = self.seen.values().chain(self.on_disk.values()).copied();
        named.chain(pending).collect()
    }

    pub(super) fn make(&mut self, name: &str, inode: usize) {
        self.change(Change::Make(name.to_owned(), inode));
    }

    /// The name `from` must exist.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        if let Some(inode) = self.get(from) {
            self.change(Change::Rename {
                from: from.to_owned(),
                to: to.to_owned(),
                inode,
            });
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.change(Change::Remove(name.to_owned()));
    }

    pub(super) fn sync(&mut self) {
        self.pending.clear();
        self.on_disk.clone_from(&self.seen);
    }

    /// A sync that fails: some changes reached the disk, the others still may.
    pub(super) fn fail_sync(&mut self, random: &mut SmallRng) {
        let share = share(random);
        for change in std::mem::take(&mut self.pending) {
            if random.random_bool(share) {
                apply(&mut self.on_disk, change);
            } else {
                self.pending.push(change);
            }
        }
    }

    /// Leaves what a loss of power leaves: each change has happened or not, whatever came before it.
    pub(super) fn lose_power(&mut self, random: &mut SmallRng) {
        let share = share(random);
        for change in self.pending.drain(..) {
            if random.random_bool(share) {
                apply(&mut self.on_disk, change);
            }
        }
        self.seen.clone_from(&self.on_disk);
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.seen, change.clone());
        self.pending.push(change);
    }
}

fn apply(names: &mut BTreeMap<String, usize>, change: Change) {
    match change {
        Change::Make(name, inode) => {
            names.insert(name, inode);
        }
        Change::Rename { from, to, inode } => {
            // Only the name of this very file goes: a change before this one may not have reached the disk.
            if names.get(&from) == Some(&inode) {
                names.remove(&from);
            }
            names.insert(to, inode);
        }
        Change::Remove(name) => {
            names.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn after_power_cuts(prepare: impl Fn(&mut Names)) -> BTreeSet<Vec<(String, usize)>> {
        (0..200)
            .map(|seed| {
                let mut names = Names::default();
                prepare(&mut names);
                names.lose_power(&mut SmallRng::seed_from_u64(seed));
                names
                    .all()
                    .map(|(name, inode)| (name.to_owned(), inode))
                    .collect()
            })
            .collect()
    }

    fn names(list: &[(&str, usize)]) -> Vec<(String, usize)> {
        list.iter()
            .map(|(name, inode)| ((*name).to_owned(), *inode))
            .collect()
    }

    #[test]
    fn a_name_that_was_not_synced_may_be_gone_and_any_other_there() {
        let left = after_power_cuts(|folder| {
            folder.make("a", 1);
            folder.sync();
            folder.make("b", 2);
            folder.make("c", 3);
        });
        let possible = [
            names(&[("a", 1)]),
            names(&[("a", 1), ("b", 2)]),
            names(&[("a", 1), ("c", 3)]),
            names(&[("a", 1), ("b", 2), ("c", 3)]),
        ];
        assert_eq!(left, BTreeSet::from(possible));
    }

    #[test]
    fn a_rename_has_happened_or_not_and_never_half() {
        let left = after_power_cuts(|folder| {
            folder.make("a", 1);
            folder.make("a.tmp", 2);
            folder.sync();
            folder.rename("a.tmp", "a");
        });
        assert_eq!(
            left,
            BTreeSet::from([names(&[("a", 1), ("a.tmp", 2)]), names(&[("a", 2)])])
        );
    }
}
