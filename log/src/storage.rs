//! What the log needs of a disk. The only way to write, sync and rename: a lint keeps a second one out.

use std::io;
use std::sync::Arc;

/// A folder of files. Names are plain file names; nothing is nested.
pub trait Storage: Send + Sync + 'static {
    /// A file of this folder.
    type File: StorageFile;

    /// The names and lengths in bytes of all files, in no order.
    fn list(&self) -> io::Result<Vec<(String, u64)>>;

    /// Makes a file that must not exist yet. Its name survives a loss of power only after [`Storage::sync_folder`].
    fn create(&self, name: &str) -> io::Result<Arc<Self::File>>;

    /// Opens an existing file to read and to write.
    fn open(&self, name: &str) -> io::Result<Arc<Self::File>>;

    /// Gives `from` the name `to`, replacing what had it. Survives a loss of power only after [`Storage::sync_folder`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file; whoever has it open goes on reading it.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Waits until names made, changed and removed so far are on disk.
    fn sync_folder(&self) -> io::Result<()>;

    /// Which file a name leads to; [`io::ErrorKind::NotFound`] where there is none.
    fn id(&self, name: &str) -> io::Result<FileId>;

    /// Bytes that may still be written to this disk.
    fn free(&self) -> io::Result<Space>;
}

/// What tells a file from all others, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId(pub u64, pub u64);

/// How full a disk is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// May still be written.
    pub free: u64,
    /// The whole disk.
    pub total: u64,
}

/// An open file. Reading and writing at once is allowed, also while it is synced.
pub trait StorageFile: Send + Sync + 'static {
    /// Reads at `position`; may read less than asked, 0 at the end.
    fn read_at(&self, bytes: &mut [u8], position: u64) -> io::Result<usize>;

    /// Writes at `position`; may write less than asked.
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize>;

    /// Waits until what was written before the call is on disk (`fdatasync`, the length included).
    fn sync(&self) -> io::Result<()>;

    /// Cuts the file or makes it longer with zeros.
    fn set_len(&self, length: u64) -> io::Result<()>;

    /// Which file it is.
    fn id(&self) -> io::Result<FileId>;

    /// Bytes of the file.
    fn len(&self) -> io::Result<u64>;

    /// Whether it holds nothing.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}
