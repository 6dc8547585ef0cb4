//! The segments of a folder, each known by its head and, where it is closed, by its footer.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use crate::Seq;
use crate::error::OpenError;
use crate::format::entry::{self, EntryHeader, Kind};
use crate::format::footer::{self, Contents, TRAILER};
use crate::format::header::{self, Cut, HeaderError, SegmentHeader};
use crate::format::{seed, segment_name, segment_number};
use crate::io::{read_around, read_vec_around};
use crate::segment::Closed;
use crate::storage::{Storage, StorageFile};

/// Bytes of the end that are read at once: they hold what a footer says of most segments.
const END: u64 = 32 << 10;
/// What is left of a half-made file.
const LEFTOVER: &str = ".tmp";

/// A segment of the folder.
pub(crate) struct Listed {
    pub number: u64,
    pub length: u64,
    /// Nothing where both copies are damaged.
    pub header: Option<SegmentHeader>,
    /// What its footer says, where it has one that is whole.
    pub sealed: Option<Sealed>,
    /// The disk does not give the head back, so what it says of other segments is not known.
    pub head_unread: bool,
}

/// The end of a closed segment.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    pub footer_at: u64,
    pub contents: Contents,
}

/// All segments in order, and the log's salt.
pub(crate) struct Listing {
    pub segments: Vec<Listed>,
    /// Nothing in these counts: they were abandoned whole, or made and never written to.
    pub void: Vec<u64>,
    /// Under which number, and which it is: those do not count.
    pub misnamed: Vec<(u64, u64)>,
    pub leftovers: Vec<String>,
    pub salt: Option<u64>,
}

impl Listed {
    /// As a closed segment, of which nothing but the head is known.
    pub(super) fn unread(&self, first_seq: Seq) -> Closed {
        Closed {
            number: self.number,
            generation: self.generation(),
            first_seq,
            end_seq: first_seq,
            length: self.length,
            footer_at: None,
            cut: self.header.and_then(|header| header.cut),
            summaries: Vec::new(),
            unindexed: AtomicBool::new(false),
            replaced: AtomicBool::new(false),
        }
    }

    /// How often it was cleaned. Where the head cannot be read its end tells whether it was: it has no closing checkpoint then.
    pub(crate) fn generation(&self) -> u16 {
        let by_end = || {
            let sealed = self.sealed.as_ref();
            sealed.map_or(0, |sealed| {
                u16::from(u64::from(sealed.contents.checkpoint_at) == sealed.footer_at)
            })
        };
        self.header.map_or_else(by_end, |header| header.generation)
    }

    /// Whether it is void: made and never written to, before another one was. One whose head ends an earlier one counts all the
    /// same.
    pub(crate) fn is_void(&self, next_first: Option<Seq>) -> bool {
        let head = self.header.filter(|_| self.sealed.is_none());
        head.is_some_and(|head| head.cut.is_none() && Some(head.first_seq) == next_first)
    }

    /// The number of its first entry, as its head says.
    pub(crate) fn first_seq(&self) -> Option<Seq> {
        self.header.map(|header| header.first_seq)
    }

    /// Whether it got its name when all that it began with was on disk: a loss of power cannot have torn that.
    pub(crate) fn begins_whole(&self) -> bool {
        self.header.is_some_and(|header| header.cut.is_some())
    }
}

/// Looks at everything in the folder.
pub(crate) fn list<S: Storage>(storage: &S) -> Result<Listing, OpenError> {
    let mut numbers = Vec::new();
    let mut leftovers = Vec::new();
    for (name, length) in storage
        .list()
        .map_err(OpenError::io("listing the folder of the log"))?
    {
        if Path::new(&name)
            .extension()
            .is_some_and(|extension| extension == "jnl")
            || name == "keyspaces"
        {
            return Err(OpenError::OldFormat(name));
        }
        if let Some(number) = segment_number(&name) {
            numbers.push((number, length));
        } else if name.ends_with(LEFTOVER) {
            leftovers.push(name);
        }
    }
    numbers.sort_unstable();
    let mut listing = Listing {
        segments: Vec::with_capacity(numbers.len()),
        void: Vec::new(),
        misnamed: Vec::new(),
        leftovers,
        salt: None,
    };
    for (number, length) in numbers {
        let name = segment_name(number);
        let file = storage
            .open(&name)
            .map_err(OpenError::io(format!("opening {name}")))?;
        match look_at(&*file, number, length)? {
            Looked::Misnamed(is) => listing.misnamed.push((number, is)),
            Looked::Segment(listed, salt) => {
                listing.salt = listing.salt.or(salt);
                listing.segments.push(listed);
            }
        }
    }
    apply_cuts(&mut listing);
    unseal_leftovers(&mut listing.segments);
    Ok(listing)
}

enum Looked {
    /// With the salt that it names.
    Segment(Listed, Option<u64>),
    /// It is another one.
    Misnamed(u64),
}

fn look_at<F: StorageFile>(file: &F, number: u64, length: u64) -> Result<Looked, OpenError> {
    let name = segment_name(number);
    let mut front = [0; header::LENGTH as usize];
    let mut unread = 0;
    let read = read_around(file, &mut front, 0, &mut unread);
    let header = match SegmentHeader::decode(&front[..read]) {
        Ok(header) if header.number != number => return Ok(Looked::Misnamed(header.number)),
        Ok(header) => Some(header),
        Err(HeaderError::Damaged) => None,
        Err(HeaderError::Version(version)) => {
            return Err(OpenError::Version {
                segment: name,
                version,
            });
        }
    };
    let mut listed = Listed {
        number,
        length,
        header,
        sealed: None,
        head_unread: unread > 0,
    };
    let mut salt = header.map(|header| header.salt);
    let last_at = length.saturating_sub(END).max(header::LENGTH);
    let last = read_vec_around(file, last_at, length.saturating_sub(last_at) as usize);
    let trailer = last.last_chunk().and_then(footer::decode_trailer);
    let trailer_at = length.saturating_sub(TRAILER as u64);
    if let Some((footer_at, meta_len, own_salt)) = trailer.filter(|(at, ..)| *at < trailer_at) {
        salt = salt.or(Some(own_salt));
        let wanted = (footer::meta_end(footer_at, meta_len).min(trailer_at) - footer_at) as usize;
        let held = footer_at.checked_sub(last_at).map(|from| from as usize);
        let bytes = match held.and_then(|from| last.get(from..from + wanted)) {
            Some(held) => held,
            None => &read_vec_around(file, footer_at, wanted),
        };
        listed.sealed = contents(bytes, seed(salt.unwrap_or(own_salt), number))
            .map(|contents| Sealed { footer_at, contents });
    }
    Ok(Looked::Segment(listed, salt))
}

fn contents(bytes: &[u8], seed: u32) -> Option<Contents> {
    let (head, _) = EntryHeader::decode(bytes, seed)?;
    let meta = bytes.get(entry::LENGTH..)?;
    let whole = head.kind == Kind::Footer
        && meta.len() == head.meta_len as usize
        && crc32fast::hash(meta) == head.meta_crc;
    whole.then(|| footer::decode_contents(meta))?
}

/// The first segment of which the disk does not give the head back although that may say where an earlier one ends: one of the
/// tail, from `first` on, or one behind a segment that has no end or holds the same records.
pub(crate) fn unread_head(segments: &[Listed], first: usize) -> Option<u64> {
    let unread = segments
        .iter()
        .enumerate()
        .filter(|(_, listed)| listed.head_unread);
    let mut speaking = unread.filter(|(at, listed)| {
        let before = at.checked_sub(1).map(|before| &segments[before]);
        *at >= first || before.is_some_and(|before| !goes_on(before, listed))
    });
    speaking.next().map(|(_, listed)| listed.number)
}

/// Whether the records of a segment come after those of one that is closed, as far as that is known.
fn goes_on(before: &Listed, listed: &Listed) -> bool {
    let Some(before) = &before.sealed else {
        return false;
    };
    let Some(sealed) = &listed.sealed else {
        return true;
    };
    sealed.contents.summaries.iter().all(|summary| {
        let mut earlier = before.contents.summaries.iter();
        earlier.all(|earlier| earlier.slot != summary.slot || earlier.end <= summary.first)
    })
}

/// A footer behind the place where the next segment goes on was cut off, and a loss of power brought it back.
fn unseal_leftovers(segments: &mut [Listed]) {
    let mut next_first = None;
    for listed in segments.iter_mut().rev() {
        let counts = |sealed: &mut Sealed| next_first.is_none_or(|next| sealed.contents.end_seq <= next);
        listed.sealed = listed.sealed.take_if(counts);
        next_first = listed.first_seq().or(next_first);
    }
}

/// Ends segments where a later one says that their sync failed, and takes out what was abandoned whole.
fn apply_cuts(listing: &mut Listing) {
    let cuts: Vec<(u64, Cut)> = listing
        .segments
        .iter()
        .filter_map(|listed| Some((listed.number, listed.header?.cut?)))
        .collect();
    for (by, cut) in cuts {
        let (void, kept) = std::mem::take(&mut listing.segments)
            .into_iter()
            .partition::<Vec<_>, _>(|listed| listed.number > cut.number && listed.number < by);
        listing.segments = kept;
        listing.void.extend(void.iter().map(|listed| listed.number));
        let cut_one = listing
            .segments
            .iter_mut()
            .find(|listed| listed.number == cut.number);
        // A cleaned one was written anew, up to the cut.
        if let Some(listed) = cut_one.filter(|listed| listed.generation() == 0)
            && listed.length > u64::from(cut.at)
        {
            listed.length = u64::from(cut.at);
            listed.sealed = None;
        }
    }
}
