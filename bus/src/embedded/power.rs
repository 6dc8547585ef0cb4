//! Power loss, for tests: how much of the journal a sync has covered, and cutting the log back to it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const MARK: &str = "last-sync";

/// How much of the log is certainly on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncMark {
    /// The number of the journal file.
    pub journal: u64,
    /// Its bytes that are synced; older journals are synced whole.
    pub bytes: u64,
}

pub(super) fn journal(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number}.jnl"))
}

/// The numbers of the journal files, ascending.
pub(super) fn journals(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers: Vec<u64> = fs::read_dir(folder)?
        .filter_map(|entry| {
            entry
                .ok()?
                .file_name()
                .to_str()?
                .strip_suffix(".jnl")?
                .parse()
                .ok()
        })
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// How far the storage engine has written this journal: its descriptor's position, as the kernel tells it. The file's length
/// says nothing, it is allocated ahead.
pub(super) fn written(folder: &Path, number: u64) -> io::Result<Option<SyncMark>> {
    let journal_path = journal(folder, number).canonicalize()?;
    let mut furthest = None;
    for entry in fs::read_dir("/proc/self/fd")?.flatten() {
        if fs::read_link(entry.path()).is_ok_and(|target| target == journal_path) {
            let info = fs::read_to_string(Path::new("/proc/self/fdinfo").join(entry.file_name()))?;
            let position = info
                .lines()
                .find_map(|line| line.strip_prefix("pos:")?.trim().parse::<u64>().ok());
            furthest = furthest.max(position);
        }
    }
    Ok(furthest.map(|bytes| SyncMark {
        journal: number,
        bytes,
    }))
}

/// Keeps `mark` beside the journal; replaced by renaming, so that it is never half written.
pub(super) fn record(folder: &Path, mark: SyncMark) -> io::Result<()> {
    let fresh = folder.join(format!("{MARK}.new"));
    fs::write(&fresh, format!("{} {}", mark.journal, mark.bytes))?;
    fs::rename(fresh, folder.join(MARK))
}

/// The last recorded sync of the log in `folder`, where `record_syncs` is on and a sync has happened.
pub fn last_synced(folder: &Path) -> io::Result<Option<SyncMark>> {
    let text = match fs::read_to_string(folder.join(MARK)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut numbers = text.split(' ').map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(journal)), Some(Ok(bytes))) => Ok(Some(SyncMark { journal, bytes })),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{MARK} holds {text:?}"),
        )),
    }
}

/// Does to the closed log in `folder` what a loss of power just now would at worst have done: everything written since the
/// last recorded sync is gone. Returns the bytes cut off that had been written.
///
/// # Errors
/// When no sync was recorded (open the log with `record_syncs`), or the files cannot be changed.
pub fn cut_to_last_sync(folder: &Path) -> io::Result<u64> {
    let mark = last_synced(folder)?.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            "no sync was recorded; open the log with `record_syncs`",
        )
    })?;
    let mut cut = 0;
    for number in journals(folder)?
        .into_iter()
        .filter(|number| *number >= mark.journal)
    {
        let path = journal(folder, number);
        let held = used(&path)?;
        if number == mark.journal {
            cut += held.saturating_sub(mark.bytes);
            fs::OpenOptions::new()
                .write(true)
                .open(&path)?
                .set_len(mark.bytes)?;
        } else {
            cut += held;
            fs::remove_file(&path)?;
        }
    }
    Ok(cut)
}

/// Bytes of a journal without the zeros allocated ahead.
fn used(path: &Path) -> io::Result<u64> {
    let bytes = fs::read(path)?;
    Ok(bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last as u64 + 1))
}
