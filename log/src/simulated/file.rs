//! An open file of the simulated disk.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::Rng;

use super::faults::{Call, Mischief};
use super::machine::State;
use crate::storage::{FileId, StorageFile};

/// A handle; it dies with the process that opened it.
#[derive(Debug)]
pub struct SimulatedFile {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) inode: usize,
    pub(super) life: u32,
}

impl StorageFile for SimulatedFile {
    fn read_at(&self, bytes: &mut [u8], position: u64) -> io::Result<usize> {
        let state = &mut *self.state.lock();
        state.alive(self.life)?;
        let wanted = match state.fault(Call::Read)? {
            Some(fault) if fault.mischief == Mischief::Short => {
                state.random.random_range(bytes.len().min(1)..=bytes.len())
            }
            Some(fault) => return Err(fault.mischief.error()),
            None => bytes.len(),
        };
        Ok(state.inodes[self.inode].read(&mut bytes[..wanted], position as usize))
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        let state = &mut *self.state.lock();
        state.alive(self.life)?;
        let position = position as usize;
        let page = state.page;
        let fault = match state.fault(Call::Write) {
            Ok(fault) => fault,
            Err(dead) => {
                // What ends a process may end it in the middle of a write.
                let part = state.random.random_range(0..=bytes.len());
                let part = part.min(state.room(self.inode, position));
                state.inodes[self.inode].write(&bytes[..part], position, page, &mut state.random);
                return Err(dead);
            }
        };
        let room = state.room(self.inode, position);
        let wanted = match fault {
            Some(_) => state.random.random_range(bytes.len().min(1)..=bytes.len()),
            None => bytes.len(),
        };
        let written = wanted.min(room);
        state.inodes[self.inode].write(&bytes[..written], position, page, &mut state.random);
        match fault {
            Some(fault) if fault.mischief != Mischief::Short => Err(fault.mischief.error()),
            _ if written == 0 && !bytes.is_empty() => {
                state.no_room(Call::Write);
                Err(Mischief::Full.error())
            }
            _ => Ok(written),
        }
    }

    fn sync(&self) -> io::Result<()> {
        let state = &mut *self.state.lock();
        state.alive(self.life)?;
        state.sync(self.inode)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let state = &mut *self.state.lock();
        state.alive(self.life)?;
        if let Some(fault) = state.fault(Call::SetLen)? {
            return Err(fault.mischief.error());
        }
        let page = state.page;
        state.inodes[self.inode].set_len(length as usize, page, &mut state.random);
        Ok(())
    }

    fn id(&self) -> io::Result<FileId> {
        self.state.lock().alive(self.life)?;
        Ok(FileId(0, self.inode as u64))
    }

    fn len(&self) -> io::Result<u64> {
        let state = self.state.lock();
        state.alive(self.life)?;
        Ok(state.inodes[self.inode].len() as u64)
    }
}

impl Drop for SimulatedFile {
    fn drop(&mut self) {
        self.state.lock().inodes[self.inode].handles -= 1;
    }
}
