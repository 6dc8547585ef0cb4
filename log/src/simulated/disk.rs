//! The disk: a folder, its files, and everything that can go wrong with them.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rustix::io::Errno;

use super::faults::{Call, Fault, Mischief};
use super::file::SimulatedFile;
use super::inode::Inode;
use super::machine::{Neglect, State};
use crate::storage::{FileId, Space, Storage};

/// A folder on a simulated disk. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimulatedDisk(Arc<Mutex<State>>);

impl SimulatedDisk {
    /// An empty folder on a disk that writes `page` bytes at once or not at all.
    pub fn new(seed: u64, page: usize) -> Self {
        Self(Arc::new(Mutex::new(State::new(seed, page))))
    }

    /// Chance starts anew: what happens from here follows from `seed` alone.
    pub fn reseed(&self, seed: u64) {
        self.0.lock().random = SmallRng::seed_from_u64(seed);
    }

    /// Lets calls fail.
    pub fn fail(&self, fault: Fault) {
        self.0.lock().faults.add(fault);
    }

    /// No call fails any more, and nobody dies.
    pub fn heal(&self) {
        let state = &mut *self.0.lock();
        state.faults.clear();
        state.calls_left = None;
    }

    /// Takes no more than `capacity` bytes in all.
    pub fn limit(&self, capacity: u64) {
        self.0.lock().capacity = capacity;
    }

    /// Bytes of all files that have a name or are open.
    pub fn used(&self) -> u64 {
        self.0.lock().used()
    }

    /// Is careless from now on.
    pub fn neglect(&self, neglect: Neglect) {
        self.0.lock().neglect = Some(neglect);
    }

    /// Lets the process die in the call after the next `calls` ones.
    pub fn die_after(&self, calls: u32) {
        self.0.lock().calls_left = Some(calls);
    }

    /// Whether the process has died in a call.
    pub fn is_dead(&self) -> bool {
        self.0.lock().dead
    }

    /// The process ends, as by `kill -9`: what it wrote stays in the page cache.
    pub fn kill(&self) {
        self.0.lock().begin_life();
    }

    /// Power is lost: of what was not synced any subset is left.
    pub fn cut_power(&self) {
        let state = &mut *self.0.lock();
        state.names.lose_power(&mut state.random);
        for inode in &mut state.inodes {
            inode.lose_power(state.page, &mut state.random);
        }
        state.begin_life();
    }

    /// Memory is short: what counts as written is read from the disk from now on.
    pub fn evict(&self) {
        let state = &mut *self.0.lock();
        for inode in &mut state.inodes {
            inode.evict(state.page);
        }
    }

    /// Turns a bit of a file on disk; false where there is none.
    pub fn flip(&self, name: &str, position: u64, bit: u8) -> bool {
        let state = &mut *self.0.lock();
        match state.names.get(name) {
            Some(inode) => state.inodes[inode].flip(position as usize, bit),
            None => false,
        }
    }

    /// Replaces bytes of a file on disk.
    pub fn forge(&self, name: &str, position: u64, bytes: &[u8]) {
        let state = &mut *self.0.lock();
        if let Some(inode) = state.names.get(name) {
            state.inodes[inode].forge(bytes, position as usize);
        }
    }

    /// What reading a file gives.
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.0.lock();
        let inode = state.names.get(name)?;
        Some(state.inodes[inode].bytes().to_vec())
    }

    /// Names that a process sees.
    pub fn names(&self) -> Vec<String> {
        self.0
            .lock()
            .names
            .all()
            .map(|(name, _)| name.to_owned())
            .collect()
    }

    /// Handles that are open.
    pub fn handles(&self) -> usize {
        self.0.lock().inodes.iter().map(|inode| inode.handles).sum()
    }

    /// How often which call failed in which way, since the last time this was asked.
    pub fn take_happened(&self) -> BTreeMap<(Call, &'static str), u32> {
        std::mem::take(&mut self.0.lock().happened)
    }

    /// Whether a call has failed since [`SimulatedDisk::take_happened`].
    pub fn has_happened(&self) -> bool {
        !self.0.lock().happened.is_empty()
    }

    /// Whether such a call has.
    pub fn has_failed_in(&self, call: Call) -> bool {
        let state = self.0.lock();
        state
            .happened
            .keys()
            .any(|(failed, how)| *failed == call && *how != "short")
    }

    /// Whether one has failed that was told to, and not because there was no room.
    pub fn has_failed(&self) -> bool {
        self.0.lock().happened.keys().any(|(_, how)| *how != "no room")
    }

    fn handle(&self, state: &mut State, inode: usize) -> Arc<SimulatedFile> {
        state.inodes[inode].handles += 1;
        Arc::new(SimulatedFile {
            state: Arc::clone(&self.0),
            inode,
            life: state.life,
        })
    }
}

impl Storage for SimulatedDisk {
    type File = SimulatedFile;

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let state = &mut *self.0.lock();
        if let Some(fault) = state.fault(Call::List)? {
            return Err(fault.mischief.error());
        }
        let files = state.names.all();
        Ok(files
            .map(|(name, inode)| (name.to_owned(), state.inodes[inode].len() as u64))
            .collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<SimulatedFile>> {
        let state = &mut *self.0.lock();
        if let Some(fault) = state.fault(Call::Create)? {
            return Err(fault.mischief.error());
        }
        if state.names.get(name).is_some() {
            return Err(Errno::EXIST.into());
        }
        if state.used() >= state.capacity {
            state.no_room(Call::Create);
            return Err(Mischief::Full.error());
        }
        state.inodes.push(Inode::default());
        let inode = state.inodes.len() - 1;
        state.names.make(name, inode);
        Ok(self.handle(state, inode))
    }

    fn open(&self, name: &str) -> io::Result<Arc<SimulatedFile>> {
        let state = &mut *self.0.lock();
        if let Some(fault) = state.fault(Call::Open)? {
            return Err(fault.mischief.error());
        }
        let inode = state.found(name)?;
        Ok(self.handle(state, inode))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let state = &mut *self.0.lock();
        let fault = state.fault(Call::Rename)?;
        state.found(from)?;
        // An error does not say that nothing happened.
        if fault.is_none() || state.random.random_bool(0.3) {
            state.names.rename(from, to);
        }
        fault.map_or(Ok(()), |fault| Err(fault.mischief.error()))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let state = &mut *self.0.lock();
        if let Some(fault) = state.fault(Call::Remove)? {
            return Err(fault.mischief.error());
        }
        state.found(name)?;
        state.names.remove(name);
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        let state = &mut *self.0.lock();
        if let Some(fault) = state.fault(Call::SyncFolder)? {
            state.names.fail_sync(&mut state.random);
            return Err(fault.mischief.error());
        }
        if state.neglect != Some(Neglect::FolderSync) {
            state.names.sync();
        }
        Ok(())
    }

    fn id(&self, name: &str) -> io::Result<FileId> {
        let state = self.0.lock();
        state.found(name).map(|inode| FileId(0, inode as u64))
    }

    fn free(&self) -> io::Result<Space> {
        let state = self.0.lock();
        Ok(Space {
            free: state.capacity.saturating_sub(state.used()),
            total: state.capacity,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::super::Aftermath;
    use super::*;
    use crate::storage::StorageFile;

    fn fault(call: Call, mischief: Mischief) -> Fault {
        Fault {
            call,
            after: 0,
            times: 1,
            mischief,
            aftermath: Aftermath::Dropped,
        }
    }

    #[test]
    fn a_killed_process_leaves_what_it_wrote_and_its_handles_are_dead() {
        let disk = SimulatedDisk::new(1, 64);
        let file = disk.create("a").unwrap();
        assert_eq!(file.write_at(b"hello", 0).unwrap(), 5);
        disk.kill();
        assert!(file.write_at(b"!", 5).is_err());
        assert_eq!(disk.contents("a").unwrap(), b"hello");
    }

    #[test]
    fn a_name_is_safe_only_once_the_folder_is_synced_and_bytes_once_the_file_is() {
        let lost = |sync_file: bool, sync_folder: bool| {
            (0..100).any(|seed| {
                let disk = SimulatedDisk::new(seed, 64);
                let file = disk.create("a").unwrap();
                file.write_at(b"hello", 0).unwrap();
                if sync_file {
                    file.sync().unwrap();
                }
                if sync_folder {
                    disk.sync_folder().unwrap();
                }
                disk.cut_power();
                disk.contents("a").as_deref() != Some(b"hello")
            })
        };
        assert!(lost(true, false) && lost(false, true));
        assert!(!lost(true, true));
    }

    #[test]
    fn a_full_disk_takes_what_fits_and_is_freed_by_removing_what_nobody_holds_open() {
        let disk = SimulatedDisk::new(1, 64);
        disk.limit(8);
        let file = disk.create("a").unwrap();
        assert_eq!(file.write_at(b"0123456789", 0).unwrap(), 8);
        let full = file.write_at(b"89", 8).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        assert_eq!(disk.create("b").unwrap_err().kind(), io::ErrorKind::StorageFull);
        disk.remove("a").unwrap();
        assert_eq!(disk.free().unwrap().free, 0);
        drop(file);
        assert_eq!(disk.free().unwrap().free, 8);
    }

    #[test]
    fn calls_fail_as_they_were_told_to() {
        let disk = SimulatedDisk::new(1, 64);
        let file = disk.create("a").unwrap();
        disk.fail(fault(Call::Write, Mischief::Short));
        let written = file.write_at(b"hello", 0).unwrap();
        assert!((1..=5).contains(&written));
        for (call, mischief) in [
            (Call::Read, Mischief::Io),
            (Call::Sync, Mischief::Io),
            (Call::SetLen, Mischief::Full),
        ] {
            disk.fail(fault(call, mischief));
        }
        assert!(file.read_at(&mut [0; 5], 0).is_err() && file.read_at(&mut [0; 5], 0).is_ok());
        assert!(file.sync().is_err() && file.sync().is_ok());
        assert!(file.set_len(1).is_err() && file.set_len(1).is_ok());
        let happened = disk.take_happened();
        assert_eq!(happened[&(Call::SetLen, "ENOSPC")], 1);
    }

    #[test]
    fn a_process_dies_in_the_call_that_it_was_to_die_in() {
        let disk = SimulatedDisk::new(1, 64);
        let file = disk.create("a").unwrap();
        disk.die_after(1);
        assert!(file.sync().is_ok());
        assert!(file.sync().is_err() && disk.is_dead());
        assert!(disk.list().is_err());
        disk.kill();
        assert!(!disk.is_dead() && disk.list().is_ok());
    }

    #[test]
    fn the_same_seed_leaves_the_same_after_a_loss_of_power() {
        let left = |seed| {
            let disk = SimulatedDisk::new(seed, 2);
            let file = disk.create("a").unwrap();
            disk.sync_folder().unwrap();
            file.write_at(b"0123456789abcdef", 0).unwrap();
            disk.cut_power();
            disk.contents("a")
        };
        assert!((0..50).all(|seed| left(seed) == left(seed)));
        assert!((0..50).any(|seed| left(seed) != left(seed + 1)));
    }

    #[test]
    fn carelessness_syncs_no_folder_or_the_wrong_file() {
        let lost = |neglect: Option<Neglect>| {
            (0..100).any(|seed| {
                let disk = SimulatedDisk::new(seed, 64);
                if let Some(neglect) = neglect {
                    disk.neglect(neglect);
                }
                let files = ["a", "b"].map(|name| disk.create(name).unwrap());
                disk.sync_folder().unwrap();
                files[1].write_at(b"hello", 0).unwrap();
                files[1].sync().unwrap();
                disk.cut_power();
                disk.contents("b").as_deref() != Some(b"hello")
            })
        };
        assert!(!lost(None) && lost(Some(Neglect::FolderSync)) && lost(Some(Neglect::RightFile)));
    }
}
