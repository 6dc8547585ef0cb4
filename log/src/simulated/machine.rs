//! What the handles of a disk share: its files, what is going to fail, and the process that dies.

use std::collections::BTreeMap;
use std::io;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rustix::io::Errno;

use super::faults::{Aftermath, Call, Fault, Faults, Mischief};
use super::inode::Inode;
use super::names::Names;

/// What a careless program does; each must be noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Neglect {
    /// Folders are never synced.
    FolderSync,
    /// The file that was opened before is synced instead.
    RightFile,
}

/// The disk and the process on it.
#[derive(Debug)]
pub(super) struct State {
    pub(super) inodes: Vec<Inode>,
    pub(super) page: usize,
    pub(super) random: SmallRng,
    pub(super) names: Names,
    pub(super) capacity: u64,
    pub(super) faults: Faults,
    pub(super) happened: BTreeMap<(Call, &'static str), u32>,
    /// Calls until the process dies in one.
    pub(super) calls_left: Option<u32>,
    pub(super) dead: bool,
    pub(super) life: u32,
    pub(super) neglect: Option<Neglect>,
}

impl State {
    pub(super) fn new(seed: u64, page: usize) -> Self {
        Self {
            inodes: Vec::new(),
            page,
            random: SmallRng::seed_from_u64(seed),
            names: Names::default(),
            capacity: u64::MAX,
            faults: Faults::default(),
            happened: BTreeMap::new(),
            calls_left: None,
            dead: false,
            life: 0,
            neglect: None,
        }
    }

    /// Refuses handles of a process that is no more.
    pub(super) fn alive(&self, life: u32) -> io::Result<()> {
        if life == self.life && !self.dead {
            return Ok(());
        }
        Err(io::Error::other("the process that opened this file is no more"))
    }

    /// Counts a call; an error where the process dies in it, else what goes wrong with it.
    pub(super) fn fault(&mut self, call: Call) -> io::Result<Option<Fault>> {
        if self.calls_left == Some(0) {
            self.dead = true;
        }
        if self.dead {
            return Err(io::Error::other("the process died in this call"));
        }
        self.calls_left = self.calls_left.map(|left| left - 1);
        let fault = self.faults.on(call);
        if let Some(fault) = fault {
            self.count(call, fault.mischief);
        }
        Ok(fault)
    }

    pub(super) fn count(&mut self, call: Call, mischief: Mischief) {
        let how = match mischief {
            Mischief::Io => "EIO",
            Mischief::Full => "ENOSPC",
            Mischief::Short => "short",
        };
        *self.happened.entry((call, how)).or_default() += 1;
    }

    pub(super) fn no_room(&mut self, call: Call) {
        *self.happened.entry((call, "no room")).or_default() += 1;
    }

    /// Bytes that may be written to a file from `position` on.
    pub(super) fn room(&self, inode: usize, position: usize) -> usize {
        if self.capacity == u64::MAX {
            return usize::MAX;
        }
        let held = self.inodes[inode].len().saturating_sub(position) as u64;
        (held.saturating_add(self.capacity.saturating_sub(self.used()))).min(usize::MAX as u64) as usize
    }

    pub(super) fn sync(&mut self, inode: usize) -> io::Result<()> {
        let inode = match self.neglect {
            Some(Neglect::RightFile) => inode.saturating_sub(1),
            _ => inode,
        };
        match self.fault(Call::Sync) {
            Ok(None) => {
                self.inodes[inode].sync(self.page);
                Ok(())
            }
            Ok(Some(fault)) => {
                self.inodes[inode].fail_sync(self.page, fault.aftermath, &mut self.random);
                Err(fault.mischief.error())
            }
            Err(dead) => {
                let aftermath = Aftermath::StillDirty;
                self.inodes[inode].fail_sync(self.page, aftermath, &mut self.random);
                Err(dead)
            }
        }
    }

    pub(super) fn used(&self) -> u64 {
        let mut held: Vec<bool> = self.inodes.iter().map(|inode| inode.handles > 0).collect();
        for (_, inode) in self.names.all() {
            held[inode] = true;
        }
        let lengths = self.inodes.iter().zip(held).filter(|(_, held)| *held);
        lengths.map(|(inode, _)| inode.len() as u64).sum()
    }

    pub(super) fn begin_life(&mut self) {
        let named = self.names.anywhere();
        for (number, inode) in self.inodes.iter_mut().enumerate() {
            if inode.handles == 0 && !named.contains(&number) {
                *inode = Inode::default();
            }
        }
        self.life += 1;
        self.dead = false;
        self.calls_left = None;
    }

    pub(super) fn found(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).ok_or_else(|| Errno::NOENT.into())
    }
}
