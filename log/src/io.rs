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
