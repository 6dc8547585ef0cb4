//! Reads a segment entry by entry, finding the next one by its marker where a head is lost.

use std::io;

use crate::format::entry::{self, EntryHeader, Kind, MARKER, Previous};
use crate::format::header::LENGTH as FRONT;
use crate::io::{read_around, read_full, read_vec_again};
use crate::storage::StorageFile;

/// Bytes read at once.
const WINDOW: usize = 256 << 10;

/// What comes next in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// An entry whose head is whole.
    Entry(Entry),
    /// Bytes in which there is no whole head.
    Lost {
        /// The first.
        from: u64,
        /// One past the last.
        to: u64,
    },
}

/// An entry whose head is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its first byte.
    pub position: u64,
    /// Its head.
    pub header: EntryHeader,
    /// The checksum of its head.
    pub crc: u32,
    /// Whether key and meta are as they were written.
    pub meta_whole: bool,
    /// Whether the value is.
    pub value_whole: bool,
}

impl Entry {
    /// Whether all of it is as it was written.
    pub fn is_whole(&self) -> bool {
        self.meta_whole && self.value_whole
    }

    /// One past its last byte.
    pub fn end(&self) -> u64 {
        self.position + self.header.size()
    }
}

/// Goes through a segment.
pub struct Scanner<'a, F: StorageFile> {
    file: &'a F,
    seed: u32,
    position: u64,
    end: u64,
    /// The checksum of the head just before, where that was whole.
    chain: Option<u32>,
    last_seq: Option<u64>,
    heads_only: bool,
    around: bool,
    unread: u64,
    window: Vec<u8>,
    window_at: u64,
}

impl<'a, F: StorageFile> Scanner<'a, F> {
    /// Goes from `position`, where an entry begins, to `end`.
    pub fn new(file: &'a F, seed: u32, position: u64, end: u64) -> Self {
        Self {
            file,
            seed,
            position,
            end,
            chain: None,
            last_seq: None,
            heads_only: false,
            around: false,
            unread: 0,
            window: Vec::new(),
            window_at: 0,
        }
    }

    /// Takes what cannot be read for damaged, instead of failing.
    pub fn around(mut self) -> Self {
        self.around = true;
        self
    }

    /// Where the last of what could not be read ends; 0 where all could be.
    pub fn unread(&self) -> u64 {
        self.unread
    }

    /// Takes every body for whole without looking.
    pub fn heads_only(mut self) -> Self {
        self.heads_only = true;
        self
    }

    /// The next entry or lost range; nothing at the end.
    pub fn next(&mut self) -> io::Result<Option<Item>> {
        if self.position >= self.end {
            return Ok(None);
        }
        if let Some((header, crc)) = self.head(self.position)? {
            return self.entry(header, crc).map(|entry| Some(Item::Entry(entry)));
        }
        let from = self.position;
        self.position = self.find(from + 1)?;
        self.chain = None;
        Ok(Some(Item::Lost {
            from,
            to: self.position,
        }))
    }

    /// Key and meta of an entry that is whole.
    pub fn meta(&self, entry: &Entry) -> io::Result<Vec<u8>> {
        let at = entry.position + entry::LENGTH as u64;
        self.bytes(at, entry.header.meta_len)
    }

    /// The value of an entry that is whole.
    pub fn value(&self, entry: &Entry) -> io::Result<Vec<u8>> {
        let at = entry.position + entry::LENGTH as u64 + u64::from(entry.header.meta_len);
        self.bytes(at, entry.header.value_len)
    }

    fn bytes(&self, at: u64, length: u32) -> io::Result<Vec<u8>> {
        let length = u64::from(length).min(self.end.saturating_sub(at)) as usize;
        let held = at.checked_sub(self.window_at).map(|start| start as usize);
        if let Some(bytes) = held.and_then(|start| self.window.get(start..start + length)) {
            return Ok(bytes.to_vec());
        }
        // Zeros instead of what cannot be read any more would pass for what was found whole.
        read_vec_again(self.file, at, length)
    }

    /// A head that is whole and may follow what was read so far.
    fn head(&mut self, at: u64) -> io::Result<Option<(EntryHeader, u32)>> {
        let (seed, chain, last_seq) = (self.seed, self.chain, self.last_seq);
        let head = EntryHeader::decode(self.slice(at, entry::LENGTH)?, seed);
        Ok(head.filter(|(header, _)| {
            // Left over from before, or content of a record: it neither follows nor is newer, or belongs to the front.
            chain.is_none_or(|crc| header.previous.crc == crc)
                && (header.previous != Previous::NONE || at == FRONT)
                && last_seq.is_none_or(|last| {
                    header.seq > last || (header.seq == last && header.kind == Kind::Footer)
                })
        }))
    }

    fn entry(&mut self, header: EntryHeader, crc: u32) -> io::Result<Entry> {
        let position = self.position;
        let meta_at = position + entry::LENGTH as u64;
        let value_at = meta_at + u64::from(header.meta_len);
        let entry = Entry {
            position,
            header,
            crc,
            meta_whole: self.check(meta_at, header.meta_len, header.meta_crc)?,
            value_whole: self.check(value_at, header.value_len, header.value_crc)?,
        };
        self.position = entry.end().min(self.end);
        self.chain = Some(crc);
        self.last_seq = Some(header.seq);
        Ok(entry)
    }

    fn check(&mut self, mut at: u64, length: u32, crc: u32) -> io::Result<bool> {
        let end = at + u64::from(length);
        if end > self.end {
            return Ok(false);
        }
        if self.heads_only {
            return Ok(true);
        }
        let mut hasher = crc32fast::Hasher::new();
        while at < end {
            let part = self.slice(at, (end - at).min(WINDOW as u64) as usize)?;
            if part.is_empty() {
                return Ok(false);
            }
            hasher.update(part);
            at += part.len() as u64;
        }
        Ok(hasher.finalize() == crc)
    }

    /// The next place from `at` on with a whole head.
    fn find(&mut self, mut at: u64) -> io::Result<u64> {
        while at < self.end {
            let part = self.slice(at, WINDOW / 2)?;
            if part.len() < MARKER.len() {
                break;
            }
            match part.windows(MARKER.len()).position(|four| four == MARKER) {
                None => at += (part.len() - MARKER.len() + 1) as u64,
                Some(found) => {
                    at += found as u64;
                    self.chain = None;
                    if self.head(at)?.is_some() {
                        return Ok(at);
                    }
                    at += 1;
                }
            }
        }
        Ok(self.end)
    }

    /// Up to `length` bytes at `at`, at most [`WINDOW`]; fewer where the segment ends.
    fn slice(&mut self, at: u64, length: usize) -> io::Result<&[u8]> {
        let wanted = (length as u64).min(self.end.saturating_sub(at));
        let held = self.window_at + self.window.len() as u64;
        if at < self.window_at || at + wanted > held {
            let most = (WINDOW as u64).min(self.end.saturating_sub(at));
            self.window.resize(most as usize, 0);
            let mut read = read_full(self.file, &mut self.window, at);
            if self.around && read.is_err() {
                read = Ok(read_around(self.file, &mut self.window, at, &mut self.unread));
            }
            self.window.truncate(*read.as_ref().unwrap_or(&0));
            self.window_at = at;
            read?;
        }
        let start = (at - self.window_at) as usize;
        let end = (start + wanted as usize).min(self.window.len());
        Ok(self.window.get(start..end).unwrap_or(&[]))
    }
}
