//! The file under the tables: whether it is still the one that was opened, whether it is one at all, and setting it aside.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use relay_schemas::TimestampMs;
use rustix::fs::{Access, access};

/// What every `SQLite` file begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// What lies beside the file and belongs to it.
const BESIDE: [&str; 3] = ["", "-wal", "-shm"];
/// What a file that was set aside is called after its own name.
const DAMAGED: &str = ".damaged-";
/// Most files set aside that are kept: a disk that goes on damaging them must not fill up with them.
pub(crate) const MOST_DAMAGED: usize = 3;

/// Which file it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Inode(u64, u64);

impl Inode {
    fn of(metadata: &Metadata) -> Self {
        Self(metadata.dev(), metadata.ino())
    }
}

/// Which file lies at `path`; `None` where there is none, or it cannot be looked at.
pub(crate) fn inode(path: &Path) -> Option<Inode> {
    std::fs::metadata(path).ok().map(|metadata| Inode::of(&metadata))
}

/// Which file lies beside `path` as its write-ahead log.
pub(crate) fn log_inode(path: &Path) -> Option<Inode> {
    inode(&with(path, "-wal"))
}

/// Removes the write-ahead log `ours` from beside a file that was put in the place of ours: `SQLite` would take it for that file's own,
/// and write pages of the one into the other.
pub(crate) fn remove_log(path: &Path, ours: Option<Inode>) {
    if ours.is_some() && log_inode(path) == ours {
        for beside in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(with(path, beside));
        }
    }
}

/// Brings a new file and its name to the disk.
pub(crate) fn sync(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Why the file at `path`, or what lies beside it, cannot be written now. Then it is neither opened nor closed: `SQLite` writes into
/// mapped memory as it does so, which ends the process where the file under it was made immutable.
///
/// Asked without opening it, as [`Held`] says.
pub(crate) fn unwritable(path: &Path) -> Option<std::io::Error> {
    BESIDE.into_iter().find_map(|beside| {
        let asked = access(with(path, beside), Access::WRITE_OK).map_err(std::io::Error::from);
        asked.err().filter(|error| error.kind() != ErrorKind::NotFound)
    })
}

/// A descriptor of the file of our own, to look at what it holds. It is opened once and stays open for as long as that file lies at its
/// path: the system lets go of all locks that `SQLite` has on a file as soon as this process closes *any* descriptor of it, and whatever
/// else opens the file then (`sqlite3`, a copy) takes itself for the only one there and removes the write-ahead log under us.
#[derive(Debug)]
pub(crate) struct Held {
    inode: Inode,
    file: File,
}

impl Held {
    /// Whether the file at `path` can be read and is no `SQLite` file any more.
    pub(crate) fn is_overwritten(held: &mut Option<Self>, path: &Path) -> bool {
        if held.as_ref().map(|held| held.inode) != inode(path) {
            *held = File::open(path).and_then(Self::of).ok();
        }
        let Some(held) = held else { return false };
        let mut begin = [0; MAGIC.len()];
        match held.file.read_exact_at(&mut begin, 0) {
            Ok(()) => begin != *MAGIC,
            Err(error) => error.kind() == ErrorKind::UnexpectedEof,
        }
    }

    fn of(file: File) -> std::io::Result<Self> {
        let inode = Inode::of(&file.metadata()?);
        Ok(Self { inode, file })
    }
}

/// Renames the file and what belongs to it, and removes the oldest of those that were set aside before; says where it lies now.
pub(crate) fn set_aside(path: &Path, now: TimestampMs) -> std::io::Result<PathBuf> {
    let aside = with(path, &format!("{DAMAGED}{}", now.0));
    for beside in BESIDE {
        match std::fs::rename(with(path, beside), with(&aside, beside)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let mut damaged = damaged(path);
    damaged.sort_unstable();
    let too_many = damaged.len().saturating_sub(MOST_DAMAGED);
    for oldest in damaged.iter().take(too_many) {
        for beside in BESIDE {
            let _ = std::fs::remove_file(with(oldest, beside));
        }
    }
    Ok(aside)
}

/// Every file that was set aside.
pub(crate) fn damaged(path: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Vec::new();
    };
    let prefix = format!("{}{DAMAGED}", name.to_string_lossy());
    let is_one = |file: &PathBuf| {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
        let stamp = name.as_deref().and_then(|name| name.strip_prefix(&prefix));
        stamp.is_some_and(|stamp| stamp.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.map(|file| file.path()).filter(is_one).collect()
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop here")]

    use super::*;

    #[test]
    fn what_is_set_aside_keeps_its_log_and_only_the_newest_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.sqlite");
        for round in 0..5 {
            std::fs::write(&path, round.to_string()).unwrap();
            std::fs::write(with(&path, "-wal"), "log").unwrap();
            let aside = set_aside(&path, TimestampMs(1_000 + round)).unwrap();
            assert!(!path.exists() && with(&aside, "-wal").exists());
        }
        let mut kept = damaged(&path);
        kept.sort_unstable();
        let texts: Vec<String> = kept
            .iter()
            .map(|file| std::fs::read_to_string(file).unwrap())
            .collect();
        assert_eq!(texts, ["2", "3", "4"]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 6);
    }

    #[test]
    fn a_file_that_is_overwritten_or_cut_is_known_by_its_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.sqlite");
        let mut held = None;
        let mut is_overwritten = || Held::is_overwritten(&mut held, &path);
        assert!(!is_overwritten(), "what is not there is not damaged");
        for (bytes, overwritten) in [
            (&MAGIC[..], false),
            (b"garbage, garbage, garbage", true),
            (b"SQL", true),
        ] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(is_overwritten(), overwritten);
        }
    }
}
