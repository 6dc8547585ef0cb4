//! How many bytes the log's keeper has sent to storage: this process on the embedded column, the broker on Kafka.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What to read to know what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meter {
    /// The kernel's count for a process, `write_bytes` of `/proc/PID/io`: pages that it made dirty, whoever flushes them.
    Process(u32),
    /// What a folder's files take on disk; where the kernel's count is not to be had.
    Folder(PathBuf),
    /// The broker is not `local.py`'s, perhaps not on this machine.
    Nothing,
}

impl Meter {
    /// This process.
    pub fn own() -> Self {
        Self::Process(std::process::id())
    }

    /// The broker that `local.py run` started in `servers`; it is found by the settings file on its command line.
    pub fn of_broker(servers: Option<&Path>) -> Self {
        let Some(folder) = servers.map(|servers| servers.join("kafka")) else {
            return Self::Nothing;
        };
        let settings = folder.join("server.properties");
        let broker = processes().find(|process| has_argument(*process, &settings));
        match broker {
            // A broker that answers has written; a count of nothing is no count.
            Some(process) if write_bytes(process).is_some_and(|bytes| bytes > 0) => Self::Process(process),
            Some(_) => Self::Folder(folder.join("data")),
            None => Self::Nothing,
        }
    }

    /// Bytes so far, where they are to be had.
    pub fn bytes(&self) -> Option<u64> {
        match self {
            Self::Process(process) => write_bytes(*process),
            Self::Folder(folder) => Some(bytes_on_disk(folder)),
            Self::Nothing => None,
        }
    }

    /// For people: what was read.
    pub fn name(&self) -> String {
        match self {
            Self::Process(process) => format!("write_bytes of process {process}"),
            Self::Folder(folder) => format!("growth of {}", folder.display()),
            Self::Nothing => "nothing".to_owned(),
        }
    }
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn has_argument(process: u32, wanted: &Path) -> bool {
    let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0)
        .any(|argument| argument == wanted.as_os_str().as_encoded_bytes())
}

fn write_bytes(process: u32) -> Option<u64> {
    written(&fs::read_to_string(format!("/proc/{process}/io")).ok()?)
}

/// From the text of `/proc/PID/io`; see proc(5).
fn written(io: &str) -> Option<u64> {
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "))?;
    line.parse().ok()
}

/// Blocks, not lengths: Kafka's indices are sparse files of their full length from the start.
fn bytes_on_disk(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => bytes_on_disk(&entry.path()),
            Ok(found) => found.blocks() * 512,
            // Deleted meanwhile.
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_written_are_not_those_cancelled_nor_those_passed_to_write() {
        let io = "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 6\ncancelled_write_bytes: 7\n";
        assert_eq!(written(io), Some(6));
        assert_eq!(written("rchar: 1\n"), None);
    }

    #[test]
    fn a_folder_counts_what_lies_in_its_folders_and_no_holes() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let inner = folder.path().join("topic-0");
        fs::create_dir(&inner)?;
        fs::File::create(inner.join("index"))?.set_len(10 << 20)?;
        assert_eq!(bytes_on_disk(folder.path()), 0);
        let log = fs::File::create(inner.join("log"))?;
        std::io::Write::write_all(&mut &log, &vec![1; 64 << 10])?;
        log.sync_all()?;
        // A file system may compress.
        assert!((1..256 << 10).contains(&bytes_on_disk(folder.path())));
        Ok(())
    }

    #[test]
    fn a_process_is_found_by_an_argument_and_by_nothing_less() {
        let mut sleeping = std::process::Command::new("sh")
            .args(["-c", "read line", "/servers/kafka/server.properties"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("every Unix has a shell");
        let wanted = Path::new("/servers/kafka/server.properties");
        // The kernel lets us go on a moment before the child's command line is there.
        let begun = std::time::Instant::now();
        while !has_argument(sleeping.id(), wanted) && begun.elapsed().as_secs() < 10 {
            std::thread::yield_now();
        }
        let found = [wanted, Path::new("/servers/kafka")].map(|path| has_argument(sleeping.id(), path));
        let listed = processes().any(|process| process == sleeping.id());
        drop(sleeping.stdin.take());
        sleeping.wait().expect("it is our child");
        assert_eq!((found, listed), ([true, false], true));
    }

    #[test]
    fn without_the_harness_nothing_is_measured() {
        assert_eq!(Meter::of_broker(None), Meter::Nothing);
        assert_eq!(
            Meter::of_broker(Some(Path::new("/no/such/servers"))),
            Meter::Nothing
        );
        assert_eq!(Meter::Nothing.bytes(), None);
    }
}
