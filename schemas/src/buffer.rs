//! Where records are encoded: in memory that a thread keeps, so that small ones take one allocation, of their size, and large ones
//! are written where they stay.

use std::cell::Cell;
use std::io::{self, Write};

use bytes::Bytes;

/// What a thread keeps; a record that is larger has its buffer to itself.
const KEPT: usize = 64 * 1024;
/// Beyond a piece that did not fit: room for what usually follows a body.
const ROOM: usize = 16 * 1024;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What `write` writes.
pub(crate) fn written(write: impl FnOnce(&mut Buffer)) -> Bytes {
    let mut buffer = Buffer(BUFFER.take());
    if buffer.0.capacity() == 0 {
        buffer.0.reserve_exact(KEPT);
    }
    write(&mut buffer);
    let Buffer(mut bytes) = buffer;
    if bytes.capacity() > KEPT {
        return Bytes::from(bytes);
    }
    let written = Bytes::copy_from_slice(&bytes);
    bytes.clear();
    BUFFER.set(bytes);
    written
}

/// Grows by what is written and some room, where a `Vec` would double: half of that stays empty behind a large body.
pub(crate) struct Buffer(Vec<u8>);

impl Write for Buffer {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if self.0.capacity() - self.0.len() < piece.len() {
            let room = ROOM.max(self.0.len() / 2);
            self.0.reserve_exact(piece.len() + room);
        }
        self.0.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pieces: &[&[u8]]) -> Bytes {
        written(|buffer| {
            for piece in pieces {
                buffer.write_all(piece).expect("it takes all");
            }
        })
    }

    #[test]
    fn a_buffer_that_is_used_again_holds_nothing_of_what_was_written_before() {
        let large = vec![7; 3 * KEPT];
        for _ in 0..2 {
            assert_eq!(of(&[b"first", b" record"]), &b"first record"[..]);
            assert_eq!(of(&[b"2nd"]), &b"2nd"[..]);
            assert_eq!(of(&[b"<", &large, b">"]).len(), large.len() + 2);
        }
    }

    #[test]
    fn a_record_within_a_record_has_a_buffer_of_its_own() {
        let outer = written(|buffer| {
            buffer.write_all(b"a").expect("it takes all");
            let inner = of(&[b"inner"]);
            buffer.write_all(&inner).expect("it takes all");
        });
        assert_eq!(outer, &b"ainner"[..]);
    }

    #[test]
    fn a_large_record_leaves_little_room_behind_it() {
        let large = vec![7; 300_000];
        let bytes = Vec::from(of(&[b"head", &large, b"tail"]));
        assert!(bytes.capacity() < 300_008 + 2 * ROOM, "{}", bytes.capacity());
    }
}
