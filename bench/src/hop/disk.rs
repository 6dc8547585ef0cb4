//! The disk's own limit: each value appended to a file and synced by itself, when it is due and never before the one ahead of it. A log that
//! answers once a record is on disk cannot be faster than this.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Pace;

/// What is appended before the file starts anew, so that a long run does not fill the disk.
const FILE_BYTES: usize = 256 << 20;

/// Milliseconds that each write with its `fdatasync` took, for `lasting`, in a file under `folder`.
pub fn syncs(folder: &Path, bytes: usize, pace: Pace, lasting: Duration) -> Result<Vec<f64>> {
    let mut file = tempfile::tempfile_in(folder)?;
    let value = vec![0x5a; bytes];
    let gap = match pace {
        Pace::PerSecond(rate) => Duration::from_secs(1) / rate,
        Pace::FlatOut => Duration::ZERO,
    };
    let mut took = Vec::new();
    let mut appended = 0;
    let (begin, mut due) = (Instant::now(), Instant::now());
    while begin.elapsed() < lasting {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if appended > FILE_BYTES {
            file = tempfile::tempfile_in(folder)?;
            appended = 0;
        }
        took.push(append(&mut file, &value)?);
        appended += bytes;
        due += gap;
    }
    Ok(took)
}

fn append(file: &mut File, value: &[u8]) -> Result<f64> {
    let begin = Instant::now();
    file.write_all(value)?;
    file.sync_data()?;
    Ok(begin.elapsed().as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sync_is_counted_and_nothing_is_left_behind() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let took = syncs(
            folder.path(),
            512,
            Pace::PerSecond(100),
            Duration::from_millis(100),
        )?;
        assert!((2..=11).contains(&took.len()), "{}", took.len());
        assert!(took.iter().all(|ms| (0.0..10_000.0).contains(ms)));
        assert_eq!(std::fs::read_dir(folder.path())?.count(), 0);
        Ok(())
    }
}
