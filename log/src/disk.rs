//! Real files. The one place that writes, syncs and renames: `deploy/local/log_writes.py` keeps a second one out.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock, statvfs};
use rustix::io::Errno;

use crate::storage::{FileId, Space, Storage, StorageFile};

/// Locked while a process has the log open, as the folder itself is; holds the process's id.
const LOCK: &str = "LOCK";

/// A folder on disk.
#[derive(Debug)]
pub struct DiskStorage {
    folder: PathBuf,
    /// Locked until it is dropped; none where the folder is only looked at.
    held: Option<Held>,
}

/// What no other process can lock.
#[derive(Debug)]
struct Held {
    /// A file in it can be removed and made anew, and would lock nothing then.
    folder: File,
    /// For folders that cannot be locked (NFS), and for Relays that lock nothing else.
    _file: File,
}

impl DiskStorage {
    /// Makes the folder if need be, and keeps other processes from opening it.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when another process has it open, naming it; else what the system said.
    pub fn open(folder: impl AsRef<Path>) -> io::Result<Self> {
        let folder = folder.as_ref();
        make_folder(folder)?;
        let held = File::open(folder)?;
        let is_locked = match flock(&held, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Err(in_use(folder)),
            locked => locked.is_ok(),
        };
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(folder.join(LOCK))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Err(in_use(folder)),
            Err(error) if !is_locked => return Err(error.into()),
            _ => {}
        }
        // Only for the message: a disk that is full is no reason not to open.
        let _ = file
            .set_len(0)
            .and_then(|()| file.write_all(std::process::id().to_string().as_bytes()));
        Ok(Self {
            folder: folder.to_owned(),
            held: Some(Held {
                folder: held,
                _file: file,
            }),
        })
    }

    /// A folder that another process may have open, to look at and to copy from.
    pub fn read_only(folder: impl AsRef<Path>) -> Self {
        Self {
            folder: folder.as_ref().to_owned(),
            held: None,
        }
    }

    /// Gives a file that never changes a second name in another folder of the same disk.
    pub(crate) fn link(&self, name: &str, target: &Self) -> io::Result<()> {
        fs::hard_link(self.folder.join(name), target.folder.join(name))
    }

    /// Where a file is: only while the folder's name leads to the folder that is locked, and not to one that was put in its
    /// place, which may be another process's.
    fn place(&self, name: &str) -> io::Result<PathBuf> {
        if let Some(held) = &self.held {
            let named = fs::metadata(&self.folder).map(|metadata| FileId::from(&metadata));
            if named.as_ref().ok() != Some(&held.folder.id()?) {
                let folder = self.folder.display();
                return Err(io::Error::other(format!(
                    "the folder of the log, {folder}, was moved, removed or replaced while it was open: put it back, and it goes on"
                )));
            }
        }
        Ok(self.folder.join(name))
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

fn in_use(folder: &Path) -> io::Error {
    let holder = match fs::read_to_string(folder.join(LOCK)) {
        Ok(holder) if !holder.is_empty() => format!("process {holder}"),
        _ => "another process".to_owned(),
    };
    let folder = folder.display();
    io::Error::new(
        io::ErrorKind::WouldBlock,
        format!("the log in {folder} is in use by {holder}; stop it, or choose another data folder"),
    )
}

/// Makes a folder and those it lies in, with names that survive a loss of power.
fn make_folder(folder: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = folder
        .ancestors()
        .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
        .collect();
    fs::create_dir_all(folder)?;
    for made in missing {
        let parent = made
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

impl Storage for DiskStorage {
    type File = File;

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.place("")?)? {
            let entry = entry?;
            let metadata = match entry.metadata() {
                // Renamed or removed meanwhile, by the process that writes.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            names.push((entry.file_name().to_string_lossy().into_owned(), metadata.len()));
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Arc<File>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        options.open(self.place(name)?).map(Arc::new)
    }

    fn open(&self, name: &str) -> io::Result<Arc<File>> {
        let mut options = OpenOptions::new();
        options.read(true).write(self.held.is_some());
        options.open(self.place(name)?).map(Arc::new)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.place(from)?, self.folder.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.place(name)?)
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(self.place("")?)?.sync_all()
    }

    fn id(&self, name: &str) -> io::Result<FileId> {
        fs::metadata(self.folder.join(name)).map(|metadata| FileId::from(&metadata))
    }

    fn free(&self) -> io::Result<Space> {
        let disk = statvfs(&self.folder)?;
        Ok(Space {
            free: disk.f_bavail * disk.f_frsize,
            total: disk.f_blocks * disk.f_frsize,
        })
    }
}

impl StorageFile for File {
    fn read_at(&self, bytes: &mut [u8], position: u64) -> io::Result<usize> {
        FileExt::read_at(self, bytes, position)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, position)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        Self::set_len(self, length)
    }

    fn len(&self) -> io::Result<u64> {
        self.metadata().map(|metadata| metadata.len())
    }

    fn id(&self) -> io::Result<FileId> {
        self.metadata().map(|metadata| FileId::from(&metadata))
    }
}

impl From<&fs::Metadata> for FileId {
    fn from(metadata: &fs::Metadata) -> Self {
        Self(metadata.dev(), metadata.ino())
    }
}
