//! Reading and writing whole ranges.

use std::io;

use crate::storage::StorageFile;

/// Reads at `position` until `bytes` are full or the file ends; how many it were.
pub fn read_full<F: StorageFile + ?Sized>(file: &F, bytes: &mut [u8], position: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < bytes.len() {
        match file.read_at(&mut bytes[done..], position + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Reads `length` bytes at `position`, fewer where the file ends.
pub fn read_vec<F: StorageFile + ?Sized>(file: &F, position: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let read = read_full(file, &mut bytes, position)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// How often a disk that fails is asked.
const ATTEMPTS: usize = 3;
/// What is given up at once where it goes on failing.
const PIECE: u64 = 4096;

/// As [`read_full`], with zeros where the disk gives nothing back however often it is asked: checksums find them, as they
/// find any damage, and one bad sector does not keep the rest from being read. `unread` is raised to the end of the last of
/// these places.
pub fn read_around<F: StorageFile + ?Sized>(
    file: &F,
    bytes: &mut [u8],
    position: u64,
    unread: &mut u64,
) -> usize {
    if let Some(read) = insist(file, bytes, position) {
        return read;
    }
    let there = file
        .len()
        .map_or(u64::MAX, |length| length.saturating_sub(position));
    let wanted = there.min(bytes.len() as u64) as usize;
    let mut done = 0;
    while done < wanted {
        let at = position + done as u64;
        let piece = ((PIECE - at % PIECE) as usize).min(wanted - done);
        let part = &mut bytes[done..done + piece];
        if insist(file, part, at).is_none() {
            part.fill(0);
            *unread = (*unread).max(at + piece as u64);
        }
        done += piece;
    }
    wanted
}

/// Reads `length` bytes at `position`, asking a disk that fails a few times; fewer where the file ends.
pub fn read_vec_again<F: StorageFile + ?Sized>(
    file: &F,
    position: u64,
    length: usize,
) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let read = match insist(file, &mut bytes, position) {
        Some(read) => read,
        None => read_full(file, &mut bytes, position)?,
    };
    bytes.truncate(read);
    Ok(bytes)
}

fn insist<F: StorageFile + ?Sized>(file: &F, bytes: &mut [u8], position: u64) -> Option<usize> {
    (0..ATTEMPTS).find_map(|_| read_full(file, bytes, position).ok())
}

/// Reads `length` bytes at `position` as [`read_around`], fewer where the file ends.
pub fn read_vec_around<F: StorageFile + ?Sized>(file: &F, position: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let read = read_around(file, &mut bytes, position, &mut 0);
    bytes.truncate(read);
    bytes
}

/// Writes all of `bytes` at `position`.
pub fn write_full<F: StorageFile + ?Sized>(file: &F, bytes: &[u8], position: u64) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match file.write_at(&bytes[done..], position + done as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => done += written,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twelve thousand sevens, of which one sector cannot be read.
    struct Scratched;

    impl StorageFile for Scratched {
        fn read_at(&self, bytes: &mut [u8], position: u64) -> io::Result<usize> {
            let length = (bytes.len() as u64).min(12_000_u64.saturating_sub(position));
            if position < 8192 && position + length > 7680 {
                return Err(io::Error::other("bad sector"));
            }
            bytes[..length as usize].fill(7);
            Ok(length as usize)
        }

        fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn sync(&self) -> io::Result<()> {
            Ok(())
        }

        fn set_len(&self, _: u64) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn id(&self) -> io::Result<crate::storage::FileId> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn len(&self) -> io::Result<u64> {
            Ok(12_000)
        }
    }

    #[test]
    fn one_bad_sector_costs_its_piece_and_nothing_else() {
        assert!(read_vec(&Scratched, 0, 20_000).is_err());
        let bytes = read_vec_around(&Scratched, 0, 20_000);
        assert_eq!(bytes.len(), 12_000);
        assert!(bytes[..4096].iter().chain(&bytes[8192..]).all(|byte| *byte == 7));
        assert!(bytes[4096..8192].iter().all(|byte| *byte == 0));
    }
}
