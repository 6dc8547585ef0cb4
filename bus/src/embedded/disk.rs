//! The disk under the log, whichever it is: files, or a simulated disk in tests.

use std::io;
use std::sync::Arc;

use relay_log::storage::{FileId, Space};
use relay_log::{Storage, StorageFile};

/// Any storage.
pub(super) struct Disk(Arc<dyn Erased>);

/// A file of any storage.
pub(super) struct DiskFile(Arc<dyn StorageFile>);

impl Disk {
    pub(super) fn new(storage: impl Storage) -> Self {
        Self(Arc::new(storage))
    }
}

/// [`Storage`] without its own type of files.
trait Erased: Send + Sync {
    fn list(&self) -> io::Result<Vec<(String, u64)>>;
    fn create(&self, name: &str) -> io::Result<DiskFile>;
    fn open(&self, name: &str) -> io::Result<DiskFile>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    fn sync_folder(&self) -> io::Result<()>;
    fn id(&self, name: &str) -> io::Result<FileId>;
    fn free(&self) -> io::Result<Space>;
}

impl<S: Storage> Erased for S {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        Storage::list(self)
    }

    fn create(&self, name: &str) -> io::Result<DiskFile> {
        Ok(DiskFile(Storage::create(self, name)?))
    }

    fn open(&self, name: &str) -> io::Result<DiskFile> {
        Ok(DiskFile(Storage::open(self, name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Storage::rename(self, from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        Storage::remove(self, name)
    }

    fn sync_folder(&self) -> io::Result<()> {
        Storage::sync_folder(self)
    }

    fn id(&self, name: &str) -> io::Result<FileId> {
        Storage::id(self, name)
    }

    fn free(&self) -> io::Result<Space> {
        Storage::free(self)
    }
}

impl Storage for Disk {
    type File = DiskFile;

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.0.list()
    }

    fn create(&self, name: &str) -> io::Result<Arc<DiskFile>> {
        self.0.create(name).map(Arc::new)
    }

    fn open(&self, name: &str) -> io::Result<Arc<DiskFile>> {
        self.0.open(name).map(Arc::new)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.0.sync_folder()
    }

    fn id(&self, name: &str) -> io::Result<FileId> {
        self.0.id(name)
    }

    fn free(&self) -> io::Result<Space> {
        self.0.free()
    }
}

impl StorageFile for DiskFile {
    fn read_at(&self, bytes: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.read_at(bytes, position)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        self.0.write_at(bytes, position)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn id(&self) -> io::Result<FileId> {
        self.0.id()
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
}
